// The power fails in mid-stream. What was recorded stays, once; what was running is recorded as lost
// within about a minute; keys, providers, models and credentials are there again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answers, hang, streams } from "../support/fake-provider.mjs";
import { ask, chunk, completion, data, wholeStream } from "../support/chat.mjs";
import { ANSWER, eventually, pause, scratch } from "../support/common.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { startWorld, World } from "../support/world.mjs";

// LOST_AFTER (src/account/commit.rs) is 45 s; the rest is for a busy machine.
const LOST_WITHIN_S = 90;

for (const how of ["workerd alone", "everything"]) {
  test(`kill -9 of ${how} in mid-stream`, async () => {
    const state = scratch();
    let world = await startWorld(startWorkerd, { state });
    const model = await world.model(answers(completion()));
    const endless = await world.model(streams([data(chunk({ content: ANSWER })), hang]));
    const { body: made } = await world.admin("POST", "/keys", { name: "survivor" });

    // Some long recorded, some just answered, some running.
    const done = [];
    for (let n = 0; n < 20; n++) done.push((await world.chat(ask(model))).body.id);
    await world.rows(20);
    const running = await Promise.all(Array.from({ length: 5 }, () => world.open(ask(endless))));
    for (const { response } of running) await response.body.getReader().read();
    // A generation is written down once it has run for a moment.
    await pause(1500);
    for (let n = 0; n < 20; n++) done.push((await world.chat(ask(model))).body.id);
    // An answer leaves before its event is on disk; the outbox takes it at once.
    await pause(300);

    if (how === "everything") {
      await world.gateway.killAll();
      world = new World(await startWorkerd({ state }), world.fake);
    } else {
      await world.gateway.killWorker();
    }

    for (const key of [world.gateway.keys.inference, made.key]) {
      const again = await world.chat(ask(model), { key });
      assert.equal(again.status, 200, again.text);
      done.push(again.body.id);
    }
    assert.match(world.received(model).at(-1).headers.authorization, /-fake-1$/, "the credential is there");

    const lost = running.map(({ id }) => id);
    const rows = await eventually("the records of all", async () => {
      const rows = await world.gateway.rows("SELECT id, outcome, cost_nano FROM generations");
      return rows.length >= done.length + lost.length ? rows : undefined;
    }, LOST_WITHIN_S);
    const outcomes = new Map(rows.map((row) => [row.id, row.outcome]));
    assert.deepEqual(outcomes, new Map([...outcomes.keys()].map((id) => [id, lost.includes(id) ? "lost" : "ok"])));
    assert.deepEqual([...outcomes.keys()].sort(), [...done, ...lost].sort());
    await eventually("sums of all", async () => {
      const [sums] = await world.gateway.rows("SELECT sum(requests) AS n, sum(cost_nano) AS cost FROM rollup_daily");
      return sums.n >= done.length + lost.length ? assert.deepEqual(sums, { n: done.length + lost.length, cost: done.length * 25_000 }) ?? true : undefined;
    });

    const stream = await world.model(streams(wholeStream()));
    assert.ok((await world.stream(ask(stream))).done, "and it serves streams");
    await world.stop();
  });
}
