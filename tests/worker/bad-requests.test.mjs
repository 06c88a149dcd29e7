// Every request that is wrong gets the status, type and field that say so, in words a caller can use;
// and nothing comes of it: no generation, no key, no provider, no call to anybody.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { newKey } from "../../scripts/lib/keys.mjs";
import { badFormats } from "../support/bad-formats.mjs";
import { badRequests } from "../support/bad-requests.mjs";
import { answers } from "../support/fake-provider.mjs";
import { ENVELOPES } from "../support/routes.mjs";
import { ask, completion } from "../support/chat.mjs";
import { pause } from "../support/common.mjs";
import { leaks, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

let world;
let model;
let stateBefore;
const keys = {};
const rows = [...badRequests, ...badFormats];

before(async () => {
  world = await startWorld(startWorkerd);
  model = await world.model(answers(completion()), { name: "m1" });
  Object.assign(keys, world.gateway.keys, await makeKeys());
  stateBefore = await everything();
});
after(() => world.stop());

async function makeKeys() {
  const create = async (body) => {
    const { status, body: answer } = await world.admin("POST", "/keys", body);
    assert.equal(status, 201);
    return answer;
  };
  const soon = new Date(Date.now() + 1500).toISOString();
  const made = {
    narrow: await create({ name: "narrow", allowed_models: ["demo/*"] }),
    disabled: await create({ name: "disabled" }),
    expired: await create({ name: "expired", expires_at: soon }),
    deleted: await create({ name: "deleted" }),
  };
  assert.equal((await world.admin("PATCH", `/keys/${made.disabled.data.hash}`, { disabled: true })).status, 200);
  assert.equal((await world.admin("DELETE", `/keys/${made.deleted.data.hash}`)).status, 200);
  await pause(Date.parse(soon) - Date.now() + 50);
  const { inference } = world.gateway.keys;
  const garbled = inference.slice(0, 20) + (inference[20] === "a" ? "b" : "a") + inference.slice(21);
  return {
    ...Object.fromEntries(Object.entries(made).map(([name, { key }]) => [name, key])),
    stranger: newKey(), cut: inference.slice(0, -1), capitals: inference.toUpperCase(), garbled,
  };
}

// What there is: key rows, providers and models.
async function everything() {
  const lists = {};
  for (const path of ["/keys?include_disabled=true&include_expired=true", "/admin/providers", "/admin/models", "/admin/catalog/export"]) {
    const { status, body } = await world.admin("GET", path);
    assert.equal(status, 200, path);
    lists[path] = withoutTimes(body);
  }
  return lists;
}

// The good request at the end may touch when a key was last used.
const withoutTimes = (value) => JSON.parse(JSON.stringify(value, (name, inner) => (/^(last_used_at|exported_at|usage.*|byok_usage.*|limit_remaining)$/.test(name) ? undefined : inner)));

const named = (text) => text.replace(/\$(\w+)/g, (_, name) => keys[name] ?? assert.fail(`no key ${name}`));
const modelIn = (body) => {
  if (typeof body === "function") return body();
  if (body === undefined || body instanceof Uint8Array) return body && Buffer.from(Buffer.from(body).toString("latin1").replaceAll("MODEL", model), "latin1");
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return text.replaceAll("MODEL", model);
};

// What a message must not show of how the gateway is made.
const INTERNALS = /panick|\.rs\b|unwrap|JsValue|RuntimeError|SQLITE|D1_ERROR|Durable|undefined|\[object|serde|wasm|workerd|127\.0\.0\.1:/i;

const openai = ENVELOPES.openai.read;

test("there are enough of them", () => {
  assert.ok(rows.length >= 300, `${rows.length}`);
  const names = rows.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, "each has a name of its own");
});

for (const bad of rows) {
  test(bad.name, async () => {
    const headers = Object.fromEntries(Object.entries(bad.headers ?? {}).map(([name, value]) => [name, named(value)]));
    const answer = await world.request(bad.method, bad.path.replace("MODEL", model), { body: modelIn(bad.body), headers, key: bad.key === null ? undefined : keys[bad.key] });
    assert.ok(answer.body?.error !== undefined, `${answer.status} ${answer.text}`);
    const error = (bad.read ?? openai)(answer.body);
    assert.deepEqual(
      { status: answer.status, type: error.type, param: error.param, ...(bad.code && { code: error.code }) },
      { status: bad.status, type: bad.type, param: bad.param, ...(bad.code && { code: bad.code }) },
      answer.text,
    );
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    assert.ok(error.message.length >= 20 && /\S \S.*\S$/.test(error.message), `a sentence: ${error.message}`);
    assert.ok(error.message.length < 1000, "a message, not a copy of the request");
    assert.doesNotMatch(error.message, INTERNALS);
    assert.equal(typeof error.code, "string");
    assert.equal(typeof error.error_type, "string");
    assert.deepEqual(leaks(answer.text), []);
    assert.equal(answer.headers.get("x-generation-id") !== null, bad.begun === true, "whether something was begun");
    if (bad.status === 405) assert.match(answer.headers.get("allow") ?? "", /^[A-Z]+(, [A-Z]+)*$/);
  });
}

test("nothing came of them, and the gateway serves", async () => {
  assert.equal(world.received(model).length, 0, "no provider was called");
  assert.deepEqual(await everything(), stateBefore);
  const good = await world.chat(ask(model));
  assert.equal(good.status, 200);
  const generations = await world.rows(1 + rows.filter(({ begun }) => begun).length);
  assert.deepEqual(generations.filter(({ outcome }) => outcome === "ok").map(({ id }) => id), [good.body.id], "one was served: the good one");
  for (const { outcome, cost_nano, status } of generations.filter(({ id }) => id !== good.body.id)) assert.deepEqual([outcome, cost_nano, status], ["error", null, 400]);
});
