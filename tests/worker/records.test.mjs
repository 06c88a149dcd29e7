// Every way a request can end leaves exactly one record, with what was really used; the sums of a day
// are the sums of its records; a queue that delivers twice counts once. On both runtimes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, chunk, completion, data, wholeStream } from "../support/chat.mjs";
import { ANSWER, eventually } from "../support/common.mjs";
import { answers, fails, hang, reset, streams } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const content = data(chunk({ content: ANSWER }));

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, () => {
    let world;
    // id -> outcome
    const ended = new Map();
    before(async () => { world = await startWorld(start); });
    after(() => world.stop());

    const finish = (answer, outcome) => {
      const id = answer.headers.get("x-generation-id");
      assert.ok(id !== null && !ended.has(id));
      ended.set(id, outcome);
      return id;
    };
    const native = { headers: { "x-sluice-stream": "native" } };

    const paths = [
      ["whole", [answers(completion())], "ok", (model) => world.chat(ask(model))],
      ["stream", [streams(wholeStream())], "ok", (model) => world.stream(ask(model))],
      ["native stream", [streams(wholeStream())], "ok", (model) => world.stream(ask(model), native)],
      ["slow stream, written down while it runs", [streams([content, 400, ...wholeStream()])], "ok", (model) => world.stream(ask(model))],
      ["whole, by the second provider", [fails(500), answers(completion())], "ok", (model) => world.chat(ask(model))],
      ["stream, by the second provider", [fails(500), streams(wholeStream())], "ok", (model) => world.stream(ask(model))],
      ["nobody", [fails(500), fails(429)], "error", (model) => world.chat(ask(model))],
      ["nobody, asked for a stream", [fails(500), "dead"], "error", (model) => world.stream(ask(model))],
      ["refused by the provider", [fails(400)], "error", (model) => world.chat(ask(model))],
      ["broken in mid-stream", [streams([content, 200, reset])], "broken", (model) => world.stream(ask(model))],
      ["broken by an error event", [streams([content, data({ error: { message: "x" } })])], "broken", (model) => world.stream(ask(model))],
      ["left by the client", [streams([content, 50, content, hang])], "cancelled", async (model) => {
        const { response, leave } = await world.open(ask(model));
        await response.body.getReader().read();
        leave();
        return response;
      }],
    ];
    for (const [what, behaviours, outcome, run] of paths) {
      test(what, async () => {
        const model = await world.model(behaviours);
        const id = finish(await run(model), outcome);
        const row = await world.row(id, 30);
        assert.deepEqual([row.outcome, row.requested_model, row.model], [outcome, model, model]);
        assert.deepEqual(row.attempts.length, behaviours.length);
      });
    }

    test("many at once", async () => {
      const whole = await world.model(answers(completion()));
      const stream = await world.model(streams([...wholeStream().slice(0, 2), 30, ...wholeStream().slice(2)]));
      const all = await Promise.all(Array.from({ length: 200 }, (_, n) => (n % 2 === 0 ? world.chat(ask(whole)) : world.stream(ask(stream)))));
      for (const answer of all) {
        assert.equal(answer.status, 200);
        finish(answer, "ok");
      }
    });

    test("there is one record each, and no other", async () => {
      const rows = await world.rows(ended.size, 30);
      assert.deepEqual(new Map(rows.map((row) => [row.id, row.outcome]).sort()), new Map([...ended].sort()));
    });

    test("the sums of the day are the sums of its records", async () => {
      await eventually("sums that agree", async () => {
        const sums = "sum(cost_nano) AS cost, sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion";
        const [one] = await world.gateway.rows(`SELECT count(*) AS n, sum(outcome NOT IN ('ok', 'cancelled')) AS errors, sum(cancelled) AS cancelled, sum(estimated) AS estimated, ${sums} FROM generations`);
        const [two] = await world.gateway.rows(`SELECT sum(requests) AS n, sum(errors) AS errors, sum(cancelled) AS cancelled, sum(estimated) AS estimated, ${sums} FROM rollup_daily`);
        assert.equal(one.n, ended.size);
        return JSON.stringify(one) === JSON.stringify(two) ? true : assert.deepEqual(two, one);
      });
    });

    test("the key knows what it has spent, and activity says the same", async () => {
      const [{ cost }] = await world.gateway.rows("SELECT sum(cost_nano) AS cost FROM generations");
      const usd = (value) => Math.round(value * 1e9);
      await eventually("the key's usage", async () => usd((await world.request("GET", "/v1/key", { key: world.gateway.keys.inference })).body.data.usage) === cost);
      const { body } = await world.admin("GET", "/activity");
      assert.equal(body.data.reduce((sum, row) => sum + usd(row.usage), 0), cost);
      assert.equal(body.data.reduce((sum, row) => sum + row.requests, 0), ended.size);
    });

    // Miniflare lets a test hand the consumer what it likes.
    describe("the queue's consumer", { skip: start === startWorkerd && "on Miniflare only" }, () => {
      const deliver = async (...bodies) => {
        const worker = await world.gateway.miniflare.getWorker();
        return worker.queue("usage-events", bodies.map((body, n) => ({ id: `again-${n}`, timestamp: new Date(), attempts: 1, body })));
      };
      const sums = async () => (await world.gateway.rows("SELECT sum(requests) AS n, sum(cost_nano) AS cost FROM rollup_daily"))[0];

      test("counts an event once, however often it is delivered", async () => {
        const events = await eventsOf(world);
        const before = await sums();
        const body = JSON.stringify(events);
        for (let n = 0; n < 3; n++) await deliver(body, JSON.stringify(events.slice(0, 5)));
        assert.deepEqual(await sums(), before);
        assert.equal((await world.gateway.rows("SELECT count(*) AS n FROM generations"))[0].n, ended.size);
        // The very same with an id of its own does count: the test could have failed.
        await deliver(JSON.stringify([{ ...events[0], id: "gen-1-another" }]));
        assert.equal((await sums()).n, before.n + 1);
      });

      test("sets aside what it cannot read, and takes in the rest", async () => {
        const [event] = await eventsOf(world);
        const { n } = await sums();
        await deliver("{rubbish", JSON.stringify([{ ...event, id: "gen-1-good" }]), JSON.stringify([{ id: "gen-1-half" }]));
        assert.equal((await sums()).n, n + 1);
        const { body } = await world.admin("GET", "/admin/dead-letters");
        assert.equal(body.data.length, 2);
        assert.ok(body.data.every((letter) => letter.reason.length > 5));
        const { id } = body.data[0];
        assert.equal((await world.admin("GET", `/admin/dead-letters/${id}`)).status, 200);
        assert.equal((await world.admin("DELETE", `/admin/dead-letters/${id}`)).status, 200);
        assert.equal((await world.admin("GET", "/admin/dead-letters")).body.data.length, 1);
      });
    });
  });
}

// The usage events as the queue delivered them.
const eventsOf = async (world) => (await world.gateway.rows("SELECT event ->> '$' AS event FROM events")).map(({ event }) => JSON.parse(event));
