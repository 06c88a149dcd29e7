// kill -9 of one process in mid-stream: the budget holds, over the dead process's calls too. What it held
// stays counted as used, for nobody knows what was billed for it; nothing stays held.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nanoOf, openBank, sum } from "../support/bank.mjs";
import { eventually, pause } from "../support/common.mjs";

const LIMIT = nanoOf(1);
// A silent process is given up after 45 s (src/account/commit.rs); the rest is for a busy machine.
const GIVEN_UP_WITHIN_S = 90;

test("$1.00, 200 calls at a time over four processes, one of which is killed", async () => {
  const bank = await openBank({ processes: 4 });
  try {
    const model = await bank.model({ length: (n) => 20 + ((n * 7919) % 380), wait: 20, pace: 15, per: 10 });
    const key = await bank.key({ limit: 1 });
    const [, victim] = bank.nodes;
    let cut = 0;
    const answers = await bank.spend(key, model, {
      during: async (wave) => {
        if (wave !== 0) return;
        const running = () => bank.provider.asked(model).filter(({ streamed, sent, wanted, closed }) => streamed && !closed && sent > 0 && sent < wanted).length;
        cut = await eventually("streams run", () => running() > 5 && running(), 10);
        await victim.kill();
        await pause(500);
        await victim.start();
      },
    });
    const billed = bank.provider.bill(model);
    const broken = answers.filter(({ broken }) => broken !== undefined);
    assert.ok(cut > 0 && broken.length > 0, "streams ran when the process was killed");
    assert.ok(billed <= LIMIT, `${billed} nano-dollars were billed`);

    const { spent, held, unsettled } = await bank.settled(key, GIVEN_UP_WITHIN_S);
    const used = spent + held;
    assert.ok(used >= billed && used <= LIMIT, `${used} count as used, ${billed} were billed`);
    assert.ok(used >= 0.95 * LIMIT, `${used} nano-dollars are used up or lost with the process`);
    assert.ok(unsettled > 0, "what the process held is shown");

    // Of what was answered whole, no more than the last moments of the dead process are missing.
    const whole = answers.filter(({ status, done }) => status === 200 && done);
    const records = new Map((await bank.records(key, whole.length - broken.length)).map((row) => [row.id, row.nano]));
    const wrong = whole.filter(({ id, nano }) => records.has(id) && records.get(id) !== nano);
    assert.deepEqual(wrong, []);
    assert.ok(sum(whole) <= billed);
    const { nano } = (await bank.cluster.rows(`SELECT sum(cost_nano) AS nano FROM rollup_daily WHERE key_hash = '${key.hash}'`))[0];
    assert.ok(nano <= LIMIT && nano >= 0);
  } finally {
    await bank.stop();
  }
});
