// Several processes over one set of objects and stores: they serve as one gateway, and when the one with
// the objects is gone, or does not answer, the others fail closed, soon, and come back with it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openBank } from "../support/bank.mjs";
import { eventually } from "../support/common.mjs";

// An isolate trusts the account's last word for so long (src/known.rs), and waits for a store for so long
// (src/entry/stores.mjs).
const TRUSTED_S = 8;
const STORE_MS = 1_000;
const SLACK_MS = 700;

describe("several processes", () => {
  let bank;
  before(async () => (bank = await openBank({ processes: 3 })));
  after(() => bank.stop());

  test("serve with one key, and each generation is recorded once", async () => {
    const model = await bank.model();
    const key = await bank.key({});
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => bank.call(key, model, { node: bank.nodes[n % 3], stream: n % 2 === 0 })));
    assert.ok(answers.every(({ done }) => done), answers.find(({ done }) => !done)?.text);
    const records = await bank.records(key, answers.length);
    assert.deepEqual(records.map(({ id }) => id).sort(), answers.map(({ id }) => id).sort());
    await eventually("the key knows of all", async () => (await bank.usage(key)) === bank.provider.bill(model));
  });

  test("a key that is revoked in one stops in all", async () => {
    const model = await bank.model();
    const key = await bank.key({});
    const statuses = () => Promise.all(bank.nodes.map(async (node) => (await bank.call(key, model, { node })).status));
    assert.deepEqual(await statuses(), [200, 200, 200]);
    await bank.admin("DELETE", `/keys/${key.hash}`);
    await eventually("it is refused everywhere", async () => (await statuses()).every((status) => status === 401), TRUSTED_S + 2);
  });

  for (const [how, gone, back] of [
    ["is killed", (host) => host.kill(), (host) => host.start()],
    ["does not answer", (host) => host.signal("SIGSTOP"), (host) => host.signal("SIGCONT")],
  ]) {
    test(`refuse within a second or so when the one with the objects ${how}, and serve again when it is back`, async () => {
      const [host, ...others] = bank.nodes;
      const model = await bank.model();
      const key = await bank.key({ limit: 1 });
      const all = () => Promise.all(others.map(async (node) => ({ ...(await bank.call(key, model, { node })), took: Date.now() })));
      for (const { status, text } of await all()) assert.equal(status, 200, text);
      await gone(host);
      await eventually("they refuse", async () => {
        const answers = await all();
        for (const { status, took, at, text } of answers) {
          assert.ok(status === 200 || status === 503, text);
          assert.ok(took - at <= STORE_MS + SLACK_MS, `after ${took - at} ms`);
        }
        return answers.every(({ status, error }) => status === 503 && error.code === "store_unavailable");
      }, TRUSTED_S + 4);
      await back(host);
      await eventually("they serve", async () => (await all()).every(({ status }) => status === 200));
    });
  }
});
