// A panic ends the request it happens in and no other: streams that run go on, records are kept, the
// isolate's memory stays. On both runtimes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, completion, textOf, readEvents, wholeStream } from "../support/chat.mjs";
import { ANSWER } from "../support/common.mjs";
import { answers, gate, streams } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

// src/pipeline.rs: a request of this session panics, where the variable is set.
const PANIC = { headers: { "x-session-id": "test:panic" } };

describe("a panic", () => {
  for (const start of [startWorkerd, startMiniflare]) {
    test(`ends one request and no other, on ${start === startWorkerd ? "workerd" : "Miniflare"}`, async () => {
      const world = await startWorld(start, { vars: { SLUICE_TEST_HOOKS: "1" } });
      try {
        const still = gate();
        const events = wholeStream();
        const running = await world.model(streams([...events.slice(0, 3), (exchange) => still.wait(exchange), ...events.slice(3)]));
        const model = await world.model(answers(completion()));
        const open = [];
        for (const mode of ["cost", "native"]) open.push(await world.open(ask(running), { headers: { "x-sluice-stream": mode } }));

        const answered = await Promise.all(Array.from({ length: 40 }, (_, n) => world.chat(ask(model), n % 2 === 0 ? PANIC : {})));
        for (const [n, answer] of answered.entries()) {
          assert.equal(answer.status, n % 2 === 0 ? 500 : 200, answer.text);
          if (n % 2 === 0) assert.deepEqual([answer.body.error.code, answer.body.error.metadata.error_type], ["internal_error", "server"]);
        }

        still.open();
        for (const { response, id } of open) {
          const { chunks, done } = readEvents(await response.text());
          assert.ok(done);
          assert.equal(textOf(chunks), `All about ${ANSWER}.`);
          assert.equal((await world.row(id)).outcome, "ok");
        }
        const rows = await world.rows(22);
        assert.ok(rows.length === 22 && rows.every((row) => row.outcome === "ok"), "one record for each that was served");
        assert.match(world.gateway.log(), /asked for by a test/, "and the log says what happened");
      } finally {
        await world.stop();
      }
    });
  }

  test("cannot be asked for where the variable is not set", async () => {
    const world = await startWorld(startWorkerd);
    try {
      assert.equal((await world.chat(ask(await world.model(answers(completion()))), PANIC)).status, 200);
    } finally {
      await world.stop();
    }
  });
});
