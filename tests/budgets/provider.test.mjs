// Providers that bill strangely, budgets and prices that change meanwhile: the ledger stays sane, and says
// where it had to estimate.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertOutOfMoney, nanoOf, openBank, PRICES } from "../support/bank.mjs";
import { cost } from "../support/billing-provider.mjs";
import { eventually } from "../support/common.mjs";

// A changed price is known everywhere after so long, a changed key sooner (src/known.rs).
const PRICE_KNOWN_WITHIN_S = 20;
const KEY_KNOWN_WITHIN_S = 10;

describe("money that does not behave", { concurrency: 8 }, () => {
  let bank;
  before(async () => (bank = await openBank({ processes: 2 })));
  after(() => bank.stop());

  const tokens = 40;
  const usable = { length: () => tokens };
  const both = (usage) => (honest) => [JSON.stringify({ ...honest, ...usage })];
  // What the provider reports, and whether that can be believed.
  const reports = {
    "no usage": { usage: () => [], estimated: true },
    "null": { usage: () => ["null"], estimated: true },
    "usage twice": { usage: (honest) => [JSON.stringify(honest), JSON.stringify(honest)], estimated: false },
    "negative numbers": { usage: both({ prompt_tokens: -5, completion_tokens: -100, total_tokens: -105 }), estimated: true },
    "numbers beyond 2^53": { usage: both({ prompt_tokens: 9007199254740993, completion_tokens: 1e300 }), estimated: true },
    "infinity": { usage: () => ['{"prompt_tokens":1e999,"completion_tokens":1e999,"total_tokens":1e999}'], estimated: true },
    "words for numbers": { usage: () => ['{"prompt_tokens":"NaN","completion_tokens":"Infinity","total_tokens":"NaN"}'], estimated: true },
    "fractions": { usage: both({ prompt_tokens: 10.5, completion_tokens: 3.25 }), estimated: true },
  };
  for (const [what, { usage, estimated }] of Object.entries(reports)) {
    for (const stream of [false, true]) {
      test(`a provider that reports ${what} (${stream ? "stream" : "whole"})`, async () => {
        const model = await bank.model({ ...usable, usage });
        const key = await bank.key({ limit: 1 });
        const answers = [await bank.call(key, model, { stream }), await bank.call(key, model, { stream, node: bank.nodes[1] })];
        for (const { status, done, text } of answers) assert.ok(status === 200 && done, text);
        const records = await bank.records(key, 2);
        for (const { nano, estimated: says, outcome } of records) {
          assert.deepEqual([says === 1, outcome], [estimated, "ok"]);
          assert.ok(Number.isSafeInteger(nano) && nano > 0 && nano < nanoOf(0.1), `${nano}`);
        }
        const billed = bank.provider.bill(model);
        if (!estimated) assert.deepEqual(records.map(({ nano }) => nano), [billed / 2, billed / 2]);
        const said = records.reduce((total, { nano }) => total + nano, 0);
        await settled(key, said, nanoOf(1));
      });
    }
  }

  // Spent is what the records say, and nothing of the limit has vanished.
  const settled = async (key, said, limit) => {
    assert.deepEqual(await bank.settled(key), { limit, spent: said, held: 0, remaining: limit - said, unsettled: 0 });
    assert.equal(await bank.usage(key), said);
  };

  test("a NaN makes an answer that is no JSON, for which nothing is paid", async () => {
    const model = await bank.model({ ...usable, usage: () => ['{"prompt_tokens":NaN}'] });
    const key = await bank.key({ limit: 1 });
    const answer = await bank.call(key, model);
    assert.ok(answer.status >= 500 || answer.done, answer.text);
    const usage = await bank.usage(key);
    assert.ok(usage >= 0 && usage < nanoOf(0.1), `${usage}`);
    // The key is as good as before.
    const well = await bank.model(usable);
    assert.equal((await bank.call(key, well)).status, 200);
  });

  test("what a provider bills beyond max_tokens is recorded as it is, and the next call pays for it", async () => {
    const limit = nanoOf(0.002);
    const model = await bank.model({ ...usable, extra: 400 });
    const key = await bank.key({ limit: 0.002 });
    const { status, nano, text } = await bank.call(key, model, { max_tokens: tokens });
    assert.equal(status, 200, text);
    assert.equal(nano, bank.provider.bill(model));
    assert.ok(nano > limit, "more than there was");
    await settled(key, nano, limit);
    for (const node of bank.nodes) assertOutOfMoney(await bank.call(key, model, { node }), { kind: "key", limit });
    assert.equal(bank.provider.asked(model).length, 1);
  });

  test("an answer is cut to what is affordable, and not refused", async () => {
    const model = await bank.model({ length: () => 400 });
    const key = await bank.key({ limit: 0.002 });
    const answer = await bank.call(key, model);
    assert.equal(answer.status, 200, answer.text);
    const [{ max, wanted, finish }] = bank.provider.asked(model);
    assert.ok(max < 400 && wanted === max && finish === "length", `max_tokens ${max}`);
    assert.ok(answer.nano <= nanoOf(0.002) && answer.nano > nanoOf(0.0015));
  });

  test("a limit lowered below what is spent refuses, raised again serves", async () => {
    const model = await bank.model(usable);
    const key = await bank.key({ limit: 1 });
    for (const node of bank.nodes) assert.equal((await bank.call(key, model, { node })).status, 200);
    await bank.records(key, 2);
    await bank.admin("PATCH", `/keys/${key.hash}`, { limit: 0.0001 });
    for (const node of bank.nodes) {
      const refused = await eventually("the lower limit is known", async () => {
        const answer = await bank.call(key, model, { node });
        return answer.status === 402 ? answer : undefined;
      }, KEY_KNOWN_WITHIN_S);
      assertOutOfMoney(refused, { kind: "key", limit: nanoOf(0.0001) });
    }
    const { data } = await bank.admin("GET", `/keys/${key.hash}`);
    assert.ok(data.usage > 0.0001);
    assert.equal(data.limit_remaining, 0);
    await bank.admin("PATCH", `/keys/${key.hash}`, { limit: 1 });
    for (const node of bank.nodes) await eventually("the higher limit is known", async () => (await bank.call(key, model, { node })).status === 200, KEY_KNOWN_WITHIN_S);
  });

  test("the price of a stream is the one in force when it began", async () => {
    const model = await bank.model({ length: () => 60, pace: 50 });
    const key = await bank.key({ limit: 1 });
    const running = bank.call(key, model, { node: bank.nodes[1], stream: true });
    await eventually("it runs", () => bank.provider.asked(model)[0]?.sent > 0);
    const dearer = { prompt: "0.0000237", completion: "0.000113" };
    await bank.price(model, dearer);
    const begun = await running;
    assert.ok(begun.done);
    assert.equal(begun.nano, bank.provider.bill(model));
    const [first] = await bank.records(key, 1);
    assert.equal(first.nano, begun.nano);

    const [{ prompt, wanted }] = bank.provider.asked(model);
    const then = await eventually("the new price is known", async () => {
      const answer = await bank.call(key, model, { node: bank.nodes[1], stream: true });
      return answer.nano === cost(dearer, prompt, wanted) ? answer : undefined;
    }, PRICE_KNOWN_WITHIN_S);
    const versions = new Map((await bank.records(key, bank.provider.asked(model).length)).map(({ id, price_version }) => [id, price_version]));
    assert.notEqual(versions.get(then.id), versions.get(begun.id));
    const { data } = await bank.admin("GET", `/admin/models/test/${model}/prices`);
    assert.match(versions.get(begun.id), /^catalog-\d+$/);
    const listed = JSON.stringify(data);
    for (const price of [PRICES, dearer]) assert.ok(listed.includes(price.completion), listed);
  });
});
