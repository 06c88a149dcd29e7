// A client that leaves stops the provider by the next chunk or heartbeat, and what was consumed is
// recorded as cancelled. Silence is filled with comments. On both runtimes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, chunk, data, readEvents, wholeStream } from "../support/chat.mjs";
import { ANSWER, pause } from "../support/common.mjs";
import { gate, hang, streams } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const word = data(chunk({ content: `${ANSWER} ` }));
const flowing = streams([data(chunk({ role: "assistant", content: "" })), ...Array.from({ length: 600 }, () => [word, 50]).flat()]);

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, { concurrency: 8 }, () => {
    let world;
    before(async () => {
      world = await startWorld(start);
      await world.provider("fake-patient", { timeouts_ms: { first_token: 60_000, idle: 60_000, total: 120_000 } });
      await world.provider("fake-idle", { timeouts_ms: { first_token: 3000, idle: 2000, total: 60_000 } });
    });
    after(() => world.stop());

    // Reads until so many bytes have come.
    const readSome = async (response, bytes) => {
      const reader = response.body.getReader();
      for (let size = 0; size < bytes; ) size += (await reader.read()).value.length;
      return reader;
    };
    const within = async (promise, ms, what) => {
      const late = pause(ms).then(() => assert.fail(`not within ${ms} ms: ${what}`));
      await Promise.race([promise, late]);
    };

    for (const mode of ["cost", "native"]) {
      const headers = { "x-sluice-stream": mode };

      test(`a client that leaves in mid-stream stops the provider (${mode})`, async () => {
        const model = await world.model(flowing);
        const { response, id, leave } = await world.open(ask(model), { headers });
        await readSome(response, 600);
        leave();
        const [exchange] = world.received(model);
        await within(exchange.closed, 5000, "the provider's connection is closed");
        assert.ok(exchange.aborted && exchange.sent.length < 300, `${exchange.sent.length} chunks were sent`);
        const row = await world.row(id);
        assert.deepEqual([row.outcome, row.cancelled, row.estimated, row.provider], ["cancelled", 1, 1, "fake-1"]);
        assert.ok(row.completion_tokens > 0 && row.cost_nano > 0, "what was consumed is billed");
      });

      test(`a client that cancels its reader stops the provider (${mode})`, async () => {
        const model = await world.model(flowing);
        const { response, id } = await world.open(ask(model), { headers });
        const reader = await readSome(response, 300);
        await reader.cancel();
        await within(world.received(model)[0].closed, 5000, "the provider's connection is closed");
        assert.equal((await world.row(id)).outcome, "cancelled");
      });

      // A native stream has no heartbeat of its own: there the limit for silence is the bound.
      const noticed = mode === "native" ? "at the idle limit" : "by the heartbeat";
      test(`a client that leaves during silence is noticed ${noticed} (${mode})`, async () => {
        const model = await world.model(streams([word, hang]), { providers: [mode === "native" ? "fake-idle" : "fake-patient"] });
        const { response, id, leave } = await world.open(ask(model), { headers });
        await readSome(response, 50);
        leave();
        await within(world.received(model)[0].closed, 30_000, "the provider's connection is closed");
        assert.match((await world.row(id)).outcome, mode === "native" ? /cancelled|broken/ : /cancelled/);
      });

      test(`a slow client gets everything (${mode})`, async () => {
        const text = wholeStream(Array.from({ length: 2000 }, (_, n) => `${n} ${"x".repeat(500)}`));
        const model = await world.model(streams(text));
        const { response } = await world.open(ask(model), { headers });
        let all = "";
        const decoder = new TextDecoder();
        let reads = 0;
        for await (const part of response.body) {
          all += decoder.decode(part, { stream: true });
          if (reads++ % 10 === 0) await pause(5);
        }
        const { chunks, done } = readEvents(all);
        assert.ok(done);
        assert.equal(chunks.length, 2003);
      });

      test(`a provider that falls silent in mid-stream is given up after its idle limit (${mode})`, async () => {
        const model = await world.model(streams([word, hang]), { providers: ["fake-idle"] });
        const answer = await world.stream(ask(model), { headers });
        assert.ok(!answer.done);
        assert.match(answer.chunks.at(-1).error?.message ?? answer.text, /nothing for too long/);
        await within(world.received(model)[0].closed, 5000, "the provider's connection is closed");
        const row = await world.row(answer.headers.get("x-generation-id"));
        assert.deepEqual([row.outcome, row.error_type], ["broken", "timeout"]);
      });

      test(`a client that waits long for the first content gets comments, then the answer (${mode})`, async () => {
        const still = gate();
        const model = await world.model(streams([(exchange) => still.wait(exchange), ...wholeStream()]), { providers: ["fake-patient"] });
        setTimeout(still.open, 12_000);
        const { comments, chunks, done } = await world.stream(ask(model), { headers });
        assert.ok(comments.length >= 1, "a comment after ten seconds of silence");
        assert.ok(comments.every((comment) => comment === ": SLUICE PROCESSING"));
        assert.ok(done && chunks.length === 7);
      });
    }

    test("a long silence in mid-stream is filled with comments", async () => {
      const still = gate();
      const model = await world.model(streams([word, (exchange) => still.wait(exchange), ...wholeStream().slice(1)]), { providers: ["fake-patient"] });
      setTimeout(still.open, 13_000);
      const { comments, done } = await world.stream(ask(model));
      assert.ok(comments.length >= 1 && done);
    });

    test("when all fail after a comment was sent, the error is an event", async () => {
      const still = gate();
      const model = await world.model(streams([(exchange) => still.wait(exchange)]), { providers: ["fake-patient"] });
      setTimeout(still.open, 12_000);
      const { status, comments, chunks, done } = await world.stream(ask(model));
      assert.deepEqual([status, comments.length >= 1, done], [200, true, false]);
      assert.ok(chunks.at(-1).error.message.length > 20);
    });

    test("a client that leaves before the first content stops the provider", async () => {
      const model = await world.model(streams([hang]), { providers: ["fake-patient"] });
      const leave = new AbortController();
      const request = fetch(`${world.base}/chat/completions`, {
        method: "POST", signal: leave.signal, body: JSON.stringify(ask(model, { stream: true })),
        headers: { authorization: `Bearer ${world.gateway.keys.inference}`, "content-type": "application/json" },
      }).catch((error) => error.name);
      while (world.received(model).length === 0) await pause(20);
      leave.abort();
      assert.equal(await request, "AbortError");
      await within(world.received(model)[0].closed, 45_000, "the provider's connection is closed");
    });
  });
}
