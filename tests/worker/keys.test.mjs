// What a key may do, and how soon a change of it holds (P4: within ten seconds of the admin call's
// answer, with traffic flowing or not). On both runtimes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, completion } from "../support/chat.mjs";
import { eventually, pause } from "../support/common.mjs";
import { answers } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const WITHIN_S = 10;

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, { concurrency: 8 }, () => {
    let world;
    let model;
    before(async () => {
      world = await startWorld(start);
      model = await world.model([answers(completion()), answers(completion())]);
    });
    after(() => world.stop());

    const make = async (more) => {
      const { status, body } = await world.admin("POST", "/keys", { name: "k", ...more });
      assert.equal(status, 201);
      return { key: body.key, hash: body.data.hash };
    };
    const change = async (hash, more) => assert.equal((await world.admin("PATCH", `/keys/${hash}`, more)).status, 200);
    const status = async (key, body = ask(model)) => (await world.chat(body, { key })).status;

    test("a key is taken from each of the three headers", async () => {
      const { key } = await make();
      for (const headers of [{ authorization: `Bearer ${key}` }, { authorization: `bearer ${key}` }, { "x-api-key": key }, { "x-goog-api-key": key }, { authorization: `Bearer ${key}`, "x-api-key": key }]) {
        const answer = await world.request("POST", "/v1/chat/completions", { body: ask(model), headers });
        assert.equal(answer.status, 200, JSON.stringify(Object.keys(headers)));
      }
    });

    test("a new key works at once, also when it was tried before there was one", async () => {
      const { key } = await make();
      assert.equal(await status(key), 200);
    });

    for (const [what, run, refused] of [
      ["disabled", ({ hash }) => change(hash, { disabled: true }), 401],
      ["deleted", ({ hash }) => world.admin("DELETE", `/keys/${hash}`), 401],
      ["expired by a change", ({ hash }) => change(hash, { expires_at: new Date(Date.now() + 100).toISOString() }), 401],
      ["kept from the model", ({ hash }) => change(hash, { allowed_models: ["other/*"] }), 403],
      ["kept from the providers", ({ hash }) => change(hash, { allowed_providers: ["fake-4"] }), 404],
    ]) {
      test(`a key that is ${what} is refused within ${WITHIN_S} s, under traffic`, async () => {
        const made = await make();
        assert.equal(await status(made.key), 200);
        await run(made);
        await eventually(`status ${refused}`, async () => (await status(made.key)) === refused, WITHIN_S);
        for (let n = 0; n < 5; n++) assert.equal(await status(made.key), refused, "and stays so");
      });
    }

    test("a key that was disabled while nothing happened is refused", async () => {
      const made = await make();
      assert.equal(await status(made.key), 200);
      await change(made.hash, { disabled: true });
      await pause(WITHIN_S * 1000);
      assert.equal(await status(made.key), 401);
      await change(made.hash, { disabled: false });
      await eventually("it works again", async () => (await status(made.key)) === 200, WITHIN_S);
    });

    test("an allowed provider serves alone", async () => {
      const { key } = await make({ allowed_providers: ["fake-2"] });
      assert.equal((await world.chat(ask(model), { key })).body.provider, "Fake fake-2");
    });

    test("a key knows its own use, and no other key's generations", async () => {
      const [mine, other] = [await make(), await make()];
      const { body: { id } } = await world.chat(ask(model), { key: mine.key });
      await world.row(id);
      const get = (path, key) => world.request("GET", path, { key });
      assert.equal((await get(`/v1/generation?id=${id}`, mine.key)).status, 200);
      assert.equal((await get(`/v1/generation?id=${id}`, other.key)).status, 404);
      assert.equal((await get(`/v1/generation?id=${id}`, world.gateway.keys.management)).status, 200);
      await eventually("its use", async () => (await get("/v1/key", mine.key)).body.data.usage === 0.000025);
      assert.equal((await get("/v1/key", other.key)).body.data.usage, 0);
    });
  });
}
