// The kill switch over several processes: what runs in another process than the one that was told is cut
// off within thirty seconds, and nothing new is served after ten.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openBank } from "../support/bank.mjs";
import { eventually } from "../support/common.mjs";

const CUT_WITHIN_MS = 30_000;
const REFUSED_WITHIN_S = 10;

describe("what is stopped in one process stops in the others", { concurrency: 8 }, () => {
  let bank;
  before(async () => (bank = await openBank({ processes: 2 })));
  after(() => bank.stop());

  const cases = [
    { what: "a session", body: { session_id: "run-1" }, stop: () => bank.admin("POST", "/sessions/run-1/stop"), status: 403, code: "stopped" },
    { what: "an end user", body: { user: "ann" }, stop: () => bank.admin("POST", "/users/ann/stop"), status: 403, code: "stopped" },
    { what: "a key that is disabled", body: {}, stop: ({ hash }) => bank.admin("PATCH", `/keys/${hash}`, { disabled: true }), status: 401, code: "api_key_disabled" },
    { what: "a key that is deleted", body: {}, stop: ({ hash }) => bank.admin("DELETE", `/keys/${hash}`), status: 401, code: "invalid_api_key" },
  ];
  for (const { what, body, stop, status, code } of cases) {
    test(what, async () => {
      const [, other] = bank.nodes;
      const model = await bank.model({ length: () => 390, pace: 500, per: 1 });
      const quick = await bank.model({ length: () => 2 });
      const key = await bank.key({});
      const running = bank.call(key, model, { node: other, stream: true, ...body });
      await eventually("it runs", () => bank.provider.asked(model)[0]?.sent > 2);
      await stop(key);
      const at = Date.now();
      await eventually("new calls are refused", async () => {
        const answer = await bank.call(key, quick, { node: other, ...body });
        if (answer.status === 200) return undefined;
        assert.deepEqual([answer.status, answer.error?.code], [status, code]);
        return true;
      }, REFUSED_WITHIN_S);
      const cut = await running;
      assert.ok(Date.now() - at <= CUT_WITHIN_MS, `cut after ${Date.now() - at} ms`);
      assert.ok(!cut.done, "it must not look whole");
      assert.match(cut.text, /told to stop/);
      const [exchange] = bank.provider.asked(model);
      await eventually("the provider is told", () => exchange.closed, 5);
      assert.ok(exchange.sent < exchange.wanted);
    });
  }

  test("a stream that has said nothing yet", async () => {
    const [, other] = bank.nodes;
    const model = await bank.model({ length: () => 20, wait: 60_000 });
    const running = bank.call(await bank.key({}), model, { node: other, stream: true, session_id: "run-3" });
    await eventually("it is asked for", () => bank.provider.asked(model)[0]);
    await bank.admin("POST", "/sessions/run-3/stop");
    const at = Date.now();
    const cut = await running;
    assert.ok(Date.now() - at <= CUT_WITHIN_MS, `cut after ${Date.now() - at} ms`);
    assert.match(cut.text, /told to stop/);
    const asked = bank.provider.asked(model);
    await eventually("the provider is told", () => asked[0].closed, 5);
    assert.equal(asked.length, 1, "nobody else is asked");
  });

  test("a session goes on when it is let to", async () => {
    const model = await bank.model({ length: () => 2 });
    const key = await bank.key({});
    const call = (node) => bank.call(key, model, { node, session_id: "run-2" });
    await bank.admin("POST", "/sessions/run-2/stop");
    for (const node of bank.nodes) await eventually("it is refused", async () => (await call(node)).status === 403, REFUSED_WITHIN_S);
    await bank.admin("POST", "/sessions/run-2/resume");
    for (const node of bank.nodes) await eventually("it is served", async () => (await call(node)).status === 200, REFUSED_WITHIN_S);
  });
});
