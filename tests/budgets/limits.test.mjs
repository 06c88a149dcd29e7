// Limits of a key over several processes: so many requests and tokens a minute, so many at once, and no
// slot stays taken by a client that has gone.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertTooFast, openBank, tally } from "../support/bank.mjs";
import { eventually, pause } from "../support/common.mjs";

const WINDOW_MS = 60_000;
const BACK_WITHIN_MS = 2_000;

describe("limits over four processes", { concurrency: 2 }, () => {
  let bank;
  before(async () => (bank = await openBank({ processes: 4 })));
  after(() => bank.stop());

  // By way of all nodes at once. A busy machine's stores may answer too late (503): those are asked again.
  const all = (key, model, calls, body = {}) => Promise.all(Array.from({ length: calls }, (_, i) => eventually("the stores answer", async () => {
    const answer = await bank.call(key, model, { node: bank.nodes[i % bank.nodes.length], ...body });
    return answer.status !== 503 && answer;
  })));
  const refusals = (answers) => answers.filter(({ status }) => status !== 200);

  test("requests a minute are never more, in no window, and all of them can be used", async () => {
    const most = 30;
    const model = await bank.model({ length: () => 3 });
    const key = await bank.key({ rate_limit: { requests_per_minute: most } });
    const first = await all(key, model, 60);
    for (const refused of refusals(first)) {
      assertTooFast(refused);
      assert.equal(refused.headers.get("x-ratelimit-limit"), String(most));
      assert.ok(Number(refused.headers.get("x-ratelimit-reset")) > 0);
    }
    // What one process had no use for, another has.
    await eventually("all of them have been used", async () => {
      await all(key, model, 8);
      return bank.provider.asked(model).length >= most;
    });
    const { headers } = await bank.call(key, model);
    await pause(Number(headers.get("retry-after")) * 1000 + 500);
    const second = await all(key, model, 40);
    assert.ok(tally(second)[200] > 0, "after Retry-After there are more");
    const times = bank.provider.asked(model).map(({ at }) => at);
    const began = times[0];
    const windows = times.reduce((counts, at) => ({ ...counts, [at - began < WINDOW_MS]: (counts[at - began < WINDOW_MS] ?? 0) + 1 }), {});
    assert.ok(windows.true <= most && windows.false <= most, JSON.stringify(windows));
  });

  test("limits that are far away refuse nobody, from the first moment of their windows", async () => {
    const model = await bank.model({ length: () => 3 });
    const far = 1_000_000;
    for (let round = 0; round < 5; round++) {
      const key = await bank.key({ limit: 1000, rate_limit: { requests_per_minute: far, tokens_per_minute: far, max_parallel: far } });
      assert.deepEqual(refusals(await all(key, model, 24)).map(({ text }) => text), []);
    }
  });

  test("tokens a minute are never more", async () => {
    const most = 5_000;
    const model = await bank.model({ length: () => 50 });
    const key = await bank.key({ rate_limit: { tokens_per_minute: most } });
    const answers = [];
    for (let wave = []; !wave.length || tally(wave)[200] > 0; answers.push(...wave)) wave = await all(key, model, 40, { max_tokens: 60 });
    const used = bank.provider.asked(model).reduce((total, { prompt, wanted }) => total + prompt + wanted, 0);
    assert.ok(used <= most && used > most * 0.9, `${used} of ${most} tokens`);
    for (const refused of refusals(answers)) assertTooFast(refused);
  });

  test("no more than max_parallel at once", async () => {
    const most = 5;
    const model = await bank.model({ length: () => 20, wait: 50, pace: 10, per: 2 });
    const key = await bank.key({ rate_limit: { max_parallel: most } });
    const answers = [];
    for (let wave = 0; wave < 5; wave++) answers.push(...(await all(key, model, 24, wave % 2 === 0 ? {} : { stream: true })));
    for (const refused of refusals(answers)) assertTooFast(refused);
    assert.ok(bank.provider.peak(model) <= most, `${bank.provider.peak(model)} at once`);
    assert.ok(tally(answers)[200] >= 3 * most, JSON.stringify(tally(answers)));
    // By turns over the processes, one at a time, none is refused: slots move.
    for (let n = 0; n < 12; n++) {
      const { status, text } = await eventually("a slot is there again", async () => {
        const answer = await bank.call(key, model, { node: bank.nodes[n % bank.nodes.length] });
        return answer.status === 200 ? answer : undefined;
      }, BACK_WITHIN_MS / 1000);
      assert.equal(status, 200, text);
    }
  });

  for (const [what, script, headers] of [
    ["in mid-stream", { length: () => 400, pace: 50 }],
    ["while the provider is silent", { length: () => 400, pace: 30_000 }],
    ["a native stream while the provider is silent", { length: () => 400, pace: 30_000 }, { "x-sluice-stream": "native" }],
    ["before the first content", { length: () => 400, wait: 30_000 }],
  ]) {
    test(`the slot of a client that leaves ${what} comes back within two seconds`, async () => {
      const model = await bank.model(script);
      const quick = await bank.model({ length: () => 2 });
      const key = await bank.key({ rate_limit: { max_parallel: 1 } });
      const leave = new AbortController();
      const left = bank.call(key, model, { node: bank.nodes[1], stream: true, signal: leave.signal, headers });
      await eventually("the provider is asked", () => bank.provider.asked(model).length === 1);
      await pause(500);
      assertTooFast(await bank.call(key, quick, { node: bank.nodes[2] }));
      leave.abort();
      const gone = Date.now();
      await left;
      await eventually("the slot is back", async () => (await bank.call(key, quick, { node: bank.nodes[2] })).status === 200, 20);
      assert.ok(Date.now() - gone <= BACK_WITHIN_MS, `after ${Date.now() - gone} ms`);
    });
  }
});
