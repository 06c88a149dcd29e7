// A budget that many processes spend from at once is spent to the end, and never beyond: what the provider
// bills is what answers, records, sums and the key itself say, to the nano-dollar. Likewise when the queue
// delivers everything twice, and when the process with the objects is killed and started again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertOutOfMoney, nanoOf, openBank, sum, tally } from "../support/bank.mjs";
import { eventually, pause } from "../support/common.mjs";

const LIMIT = nanoOf(1);
const LEAST_USED = 0.95 * LIMIT;
const NO_HOLDS_WITHIN_S = 60;
const length = (n) => 20 + ((n * 7919) % 380);

// The process with the objects is gone for a moment, in the midst of the second wave.
async function restartOfTheObjects({ nodes: [host] }, wave) {
  if (wave !== 1) return;
  await pause(150);
  await host.kill();
  await pause(500);
  await host.start();
}

const cases = [
  { name: "over four processes", options: { processes: 4 } },
  { name: "with a queue that delivers twice", options: { processes: 4, redeliver: true } },
  // Whoever serves keeps its isolates' memory; the objects lose theirs.
  { name: "with the objects restarted in mid-run", options: { processes: 5 }, during: restartOfTheObjects, nodes: ({ nodes }) => nodes.slice(1) },
];

for (const { name, options, during = async () => {}, nodes = ({ nodes }) => nodes } of cases) {
  test(`$1.00, 200 calls at a time ${name}`, async (t) => {
    const bank = await openBank(options);
    try {
      const model = await bank.model({ length, wait: 20, pace: 3, per: 20 });
      const key = await bank.key({ limit: 1 });
      const answers = await bank.spend(key, model, { nodes: nodes(bank), during: (wave) => during(bank, wave) });
      const billed = bank.provider.bill(model);
      t.diagnostic(`${JSON.stringify(tally(answers))}, ${billed} nano-dollars`);

      const served = answers.filter(({ status }) => status === 200);
      const records = await bank.records(key, served.length);
      assert.deepEqual(bank.differences(model, records), [], "each record is what the provider billed");
      assert.deepEqual(records.map(({ id }) => id).sort(), served.map(({ id }) => id).sort());
      assert.deepEqual(served.filter(({ done }) => !done).map(({ text }) => text.slice(-300)), []);
      assert.equal(sum(records), billed, "what the records say");
      assert.equal(sum(served), billed, "what the answers say");
      assert.ok(billed <= LIMIT, `${billed} nano-dollars were billed`);
      assert.ok(billed >= LEAST_USED, `only ${billed} nano-dollars could be used`);
      for (const refused of answers.filter(({ status }) => status === 402)) assertOutOfMoney(refused, { kind: "key", limit: LIMIT });

      const listed = await bank.generations(key);
      assert.equal(listed.reduce((total, { total_cost }) => total + nanoOf(total_cost), 0), billed, "what the API lists");
      const [sums] = await eventually("the sums of all", async () => {
        const rows = await bank.cluster.rows(`SELECT sum(cost_nano) AS nano FROM rollup_daily WHERE key_hash = '${key.hash}'`);
        return rows[0].nano >= billed ? rows : undefined;
      });
      assert.equal(sums.nano, billed, "what the sums say");

      const standing = await bank.settled(key, NO_HOLDS_WITHIN_S);
      assert.deepEqual(standing, { limit: LIMIT, spent: billed, held: 0, remaining: LIMIT - billed, unsettled: 0 });
      assert.equal(await bank.usage(key), billed, "what the key says");
    } finally {
      await bank.stop();
    }
  });
}
