// One pipeline: whatever the route, the same keys, budgets, limits, records, stand-ins and receipts, and
// errors in the format of the route's clients.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey } from "../../scripts/lib/keys.mjs";
import { eventually } from "../support/common.mjs";
import { registerDialects } from "../support/dialects.mjs";
import { fails } from "../support/fake-provider.mjs";
import { leaks, startWorkerd } from "../support/gateway.mjs";
import { ENVELOPES, ROUTES, serves } from "../support/routes.mjs";
import { startWorld } from "../support/world.mjs";

describe("on workerd", { concurrency: 6 }, () => {
  let world;
  const keys = {};
  before(async () => {
    world = await startWorld(startWorkerd);
    await Promise.all([registerDialects(world, "1"), registerDialects(world, "2")]);
    const create = async (name, more) => (keys[name] = (await world.admin("POST", "/keys", { name, ...more })).body.key);
    const { data, key } = (await world.admin("POST", "/keys", { name: "disabled" })).body;
    await Promise.all([
      create("elsewhere", { allowed_models: ["demo/*"] }), create("poor", { limit: 0 }), create("slow", { rate_limit: { requests_per_minute: 1 } }),
      world.admin("PATCH", `/keys/${data.hash}`, { disabled: true }),
    ]);
    Object.assign(keys, { good: world.gateway.keys.inference, stranger: newKey(), management: world.gateway.keys.management, disabled: key });
  });
  after(() => world.stop());

  const modelFor = (route, behaviours) => world.model(behaviours, { providers: [`${route.dialect}1`, `${route.dialect}2`] });
  const send = (route, model, { key, headers } = {}) => {
    const shown = key === undefined ? {} : ENVELOPES[route.envelope].key(key);
    return world.request("POST", route.path(model), { body: route.body(model), headers: { ...route.headers, ...shown, ...headers } });
  };
  // The answer is kept a moment after it was given.
  const settled = (ask) => eventually("the answer is kept", async () => {
    const answer = await ask();
    return answer.text.toLowerCase().includes("idempotency_in_progress") ? undefined : answer;
  });
  const assertRefused = (route, answer, status, { error_type, param } = {}) => {
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    const { words, read } = ENVELOPES[route.envelope];
    const seen = read(answer.body);
    assert.equal(seen.type, words[status], answer.text);
    assert.ok(seen.message.length > 20, answer.text);
    if (error_type) assert.equal(seen.error_type, error_type, answer.text);
    if (param) assert.equal(seen.param, param, answer.text);
    if (route.envelope === "gemini") assert.equal(answer.body.error.code, status);
    assert.deepEqual(leaks(answer.text), []);
    return seen;
  };

  for (const route of ROUTES) {
    test(`${route.name}: served, recorded and charged as the answer says`, async () => {
      const model = await modelFor(route, [serves(route)]);
      const answer = await send(route, model, { key: keys.good });
      assert.equal(answer.status, 200, answer.text);
      assert.ok(answer.headers.get("content-type").startsWith(route.type ?? "application/json"));
      const id = answer.headers.get("x-generation-id");
      const record = await world.generation(id);
      const row = await world.row(id);
      assert.deepEqual([record.model, record.provider_name, row.outcome, row.streamed, row.status], [model, `Fake ${route.dialect}1`, "ok", 0, 200]);
      assert.equal(Math.round(record.total_cost * 1e9), row.cost_nano);
      if (route.free) assert.deepEqual([record.total_cost, row.prompt_tokens, row.completion_tokens], [0, 0, 0]);
      else assert.ok(record.total_cost > 0);
      if (route.told !== null) {
        const { prompt, completion, cost } = route.told(answer.body);
        assert.deepEqual([prompt, completion, cost], [record.native_tokens_prompt, record.native_tokens_completion, record.total_cost], answer.text);
        assert.equal(prompt, 11);
        assert.equal(row.estimated, 0);
      }
    });

    test(`${route.name}: another endpoint stands in`, async () => {
      const model = await modelFor(route, [fails(500), serves(route)]);
      const answer = await send(route, model, { key: keys.good });
      assert.equal(answer.status, 200, answer.text);
      const row = await world.row(answer.headers.get("x-generation-id"));
      assert.deepEqual(row.attempts.map(({ provider, status, cause }) => [provider, status, cause]), [[`${route.dialect}1`, 500, "status"], [`${route.dialect}2`, 200, undefined]]);
    });

    test(`${route.name}: when all fail, the error says who, in the route's envelope`, async () => {
      const model = await modelFor(route, [fails(500), fails(500)]);
      const answer = await send(route, model, { key: keys.good });
      const seen = assertRefused(route, answer, 502, { error_type: "provider_unavailable" });
      assert.equal(seen.provider, `Fake ${route.dialect}2`);
      assert.match(answer.headers.get("x-generation-id"), /^gen-/);
    });

    test(`${route.name}: who may not is refused, and nobody is called`, async () => {
      const model = await modelFor(route, [serves(route)]);
      for (const [key, status] of [["none", 401], ["stranger", 401], ["disabled", 401], ["management", 403], ["elsewhere", 403], ["poor", route.free ? 200 : 402]]) {
        const answer = await send(route, model, { key: keys[key] });
        if (status === 200) assert.equal(answer.status, 200, `${key}: ${answer.text}`);
        else assertRefused(route, answer, status);
      }
      assert.equal(world.received(model).length, route.free ? 1 : 0);
      assertRefused(route, await send(route, "nobody/nothing", { key: keys.good }), 400, { param: "model" });
    });

    test(`${route.name}: a rate limit holds`, async () => {
      const model = await modelFor(route, [serves(route)]);
      const { key } = (await world.admin("POST", "/keys", { name: "slow", rate_limit: { requests_per_minute: 1 } })).body;
      assert.equal((await send(route, model, { key })).status, 200);
      const answer = await send(route, model, { key });
      assertRefused(route, answer, 429, { error_type: "rate_limit_exceeded" });
      assert.ok(Number(answer.headers.get("retry-after")) > 0);
      assert.equal(world.received(model).length, 1);
    });

    test(`${route.name}: an Idempotency-Key is answered once`, async () => {
      const model = await modelFor(route, [serves(route)]);
      const headers = { "idempotency-key": `once-${route.name}` };
      const first = await send(route, model, { key: keys.good, headers });
      assert.equal(first.status, 200, first.text);
      const again = await settled(() => send(route, model, { key: keys.good, headers }));
      // A sound goes by unread.
      if (route.name === "audio/speech") assert.match(assertRefused(route, again, 409).message, /sound/);
      else assert.deepEqual([again.status, again.text, again.headers.get("idempotency-replayed"), again.headers.get("x-generation-id")], [200, first.text, "true", first.headers.get("x-generation-id")]);
      assert.equal(world.received(model).length, 1);
    });
  }

  test("the same body at another address is another request", async () => {
    const gemini = ROUTES.find(({ name }) => name === "gemini");
    const models = await Promise.all([1, 2].map(() => modelFor(gemini, [serves(gemini)])));
    const headers = { "idempotency-key": "two-models" };
    assert.equal((await send(gemini, models[0], { key: keys.good, headers })).status, 200);
    assertRefused(gemini, await settled(() => send(gemini, models[1], { key: keys.good, headers })), 409);
    const { key } = (await world.admin("POST", "/keys", { name: "deduped", dedupe_window_s: 30 })).body;
    const ids = [];
    for (const model of [...models, models[0]]) ids.push((await settled(() => send(gemini, model, { key }))).headers.get("x-generation-id"));
    assert.equal(ids[2], ids[0], "answered again");
    assert.notEqual(ids[1], ids[0]);
  });
});
