// Before the first content another provider takes over, whatever went wrong, and the client sees
// nothing of it; after it, never. On both runtimes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, chunk, completion, data, textOf, wholeStream } from "../support/chat.mjs";
import { ANSWER } from "../support/common.mjs";
import { answers, fails, hang, hangs, reset, resets, streams } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const role = data(chunk({ role: "assistant", content: "" }));
const half = JSON.stringify(completion()).slice(0, 150);
const html = answers("<html><body>Bad Gateway</body></html>", { headers: { "content-type": "text/html" } });
const redirect = answers("", { status: 302, headers: { location: "http://127.0.0.1:1/" } });

// What the first endpoint does, and the cause and status that the record names.
const both = [
  ["refuses the connection", "dead", "connection", null],
  ["resets the connection", resets, "connection", null],
  ["says 500", fails(500), "status", 500],
  ["says 503", fails(503), "status", 503],
  ["says 429 with Retry-After", fails(429, { "retry-after": "7" }), "status", 429],
  ["says 529", fails(529), "status", 529],
  ["says 401", fails(401), "status", 401],
  ["says 402", fails(402), "status", 402],
  ["says 404", fails(404), "status", 404],
  ["redirects", redirect, "status", 302],
  ["says 200 with an error inside", answers({ error: { message: "overloaded", code: 529 } }), "error_in_body", 200],
  ["says 200 with HTML", html, "malformed", 200],
  ["says 200 with half a JSON", answers(half), "malformed", 200],
  ["says 200 with nothing", answers(""), "malformed", 200],
];
const onlyWhole = [
  ["hangs", hangs, "timeout", null],
  ["breaks off in the body", streams([half, reset], { headers: { "content-type": "application/json" } }), "connection", null],
  ["has no choices", answers({ ...completion(), choices: [] }), "malformed", 200],
  ["has choices that are none", answers({ ...completion(), choices: [5] }), "malformed", 200],
];
const onlyStreams = [
  ["hangs before the head", hangs, "timeout", null],
  ["hangs after the head", streams([hang]), "timeout", null],
  ["hangs after the role", streams([role, hang]), "timeout", null],
  ["hangs after a comment", streams([": hello\n\n", hang]), "timeout", null],
  ["breaks off after the role", streams([role, reset]), "connection", null],
  ["ends after the role", streams([role]), "connection", null],
  ["ends at once", streams([]), "connection", null],
  ["sends an error as its first event", streams([data({ error: { message: "overloaded", code: 529 } })]), "error_in_body", 200],
  ["sends an error after the role", streams([role, data({ error: { message: "overloaded" } })]), "error_in_body", 200],
  ["sends an event that is no JSON", streams([role, "data: {\"choices\":[\n\n"]), "malformed", 200],
  ["answers whole", answers(completion()), "malformed", 200],
];

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, { concurrency: 8 }, () => {
    let world;
    before(async () => {
      world = await startWorld(start);
      await world.provider("fake-hasty", { timeouts_ms: { total: 1500, first_token: 1500 } });
    });
    after(() => world.stop());

    const rescued = async (model, answer, cause, status) => {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(world.received(model, 2).length, 1);
      const row = await world.row(answer.headers.get("x-generation-id"));
      assert.deepEqual([row.outcome, row.provider, row.status], ["ok", "fake-2", 200]);
      assert.deepEqual(row.attempts.map((one) => [one.status ?? null, one.cause ?? null]), [[status, cause], [200, null]]);
    };

    for (const [what, behaviour, cause, status] of [...both, ...onlyWhole]) {
      test(`whole answer: the first ${what}`, async () => {
        const model = await world.model([behaviour, answers(completion())], { providers: behaviour === "dead" ? undefined : ["fake-hasty"] });
        const answer = await world.chat(ask(model));
        await rescued(model, answer, cause, status);
        assert.equal(answer.body.choices[0].message.content, completion().choices[0].message.content);
        assert.equal(answer.body.provider, "Fake fake-2");
      });
    }

    for (const [what, behaviour, cause, status] of [...both, ...onlyStreams]) {
      test(`stream: the first ${what}`, async () => {
        const model = await world.model([behaviour, streams(wholeStream())]);
        const answer = await world.stream(ask(model));
        await rescued(model, answer, cause, status);
        assert.equal(textOf(answer.chunks), `All about ${ANSWER}.`);
        assert.ok(answer.done);
        assert.ok(answer.chunks.every((one) => one.provider === "Fake fake-2"), "nothing of the first is shown");
      });
    }

    for (const status of [400, 422]) {
      test(`what is the caller's fault (${status}) is not tried elsewhere`, async () => {
        const model = await world.model([fails(status, {}, "max_tokens is too large"), answers(completion())]);
        const answer = await world.chat(ask(model));
        assert.equal(answer.status, 400);
        assert.match(answer.body.error.message, /max_tokens is too large/);
        assert.equal(world.received(model, 2).length, 0);
        assert.equal((await world.row(answer.headers.get("x-generation-id"))).outcome, "error");
      });
    }

    for (const [name, behaviour, status, errorType] of [
      ["fail", fails(500), 502, "provider_unavailable"],
      ["cannot be reached", "dead", 502, "provider_unavailable"],
      ["are limited", fails(429, { "retry-after": "9" }), 429, "rate_limit_exceeded"],
      ["are overloaded", fails(503), 503, "provider_overloaded"],
      ["refuse our credential", fails(401), 502, "provider_unavailable"],
    ]) {
      test(`when all ${name}, the client learns it after three attempts`, async () => {
        const model = await world.model([behaviour, behaviour, behaviour, behaviour]);
        for (const stream of [false, true]) {
          const answer = await world.chat(ask(model, { stream }));
          assert.equal(answer.status, status, answer.text);
          assert.equal(answer.body.error.metadata.error_type, errorType);
          assert.equal(answer.body.error.metadata.previous_errors.length, 3);
          assert.equal(answer.headers.get("retry-after"), status === 429 ? "9" : null);
          const row = await world.row(answer.headers.get("x-generation-id"));
          assert.deepEqual([row.outcome, row.status, row.cost_nano, row.attempts.length], ["error", status, null, 3]);
        }
        if (behaviour !== "dead") assert.deepEqual([1, 2, 3, 4].map((n) => world.received(model, n).length).reduce((a, b) => a + b), 6);
      });
    }

    test("another model of `models` takes over, also from what was the caller's fault", async () => {
      const first = await world.model([fails(400, {}, "too long")]);
      const second = await world.model([answers(completion())]);
      const answer = await world.chat({ ...ask(first), models: [second] });
      assert.equal(answer.status, 200);
      assert.equal(answer.body.model, second);
      const row = await world.row(answer.body.id);
      assert.deepEqual([row.requested_model, row.model], [first, second]);
    });

    test("each attempt gets the request as it was, with its own names and credential", async () => {
      const model = await world.model([fails(500), answers(completion())]);
      await world.chat(ask(model, { temperature: 0.25, x_unknown: { a: [1.50] } }));
      const [one, two] = [1, 2].map((n) => world.received(model, n)[0]);
      for (const [n, exchange] of [[1, one], [2, two]]) {
        assert.equal(exchange.path, "/v1/chat/completions");
        assert.match(exchange.headers.authorization, new RegExp(`-fake-${n}$`));
        assert.equal(exchange.body.temperature, 0.25);
        assert.match(exchange.raw.toString(), /"x_unknown":\{"a":\[1.5\]\}/);
        for (const name of ["x-api-key", "http-referer", "x-forwarded-for", "cf-connecting-ip", "cookie"]) assert.equal(exchange.headers[name], undefined, name);
      }
      assert.deepEqual(one.body.messages, two.body.messages);
    });

    for (const mode of ["cost", "native"]) {
      for (const [what, ending] of [["breaks", reset], ["ends without a finish", null], ["turns into an error", data({ error: { message: "overloaded", code: 529 } })], ["turns into rubbish", "data: <html>\n\n"]]) {
        test(`after the first content nobody takes over: a stream that ${what} (${mode})`, async () => {
          const model = await world.model([streams([role, data(chunk({ content: ANSWER })), 150, ...(ending === null ? [] : [ending])]), streams(wholeStream())]);
          const answer = await world.stream(ask(model), { headers: { "x-sluice-stream": mode } });
          assert.equal(answer.status, 200);
          assert.equal(world.received(model, 2).length, 0);
          assert.ok(!answer.done, "no [DONE]");
          const last = answer.chunks.at(-1);
          assert.ok(last.error.message.length > 20, answer.text);
          assert.equal(last.choices[0].finish_reason, "error");
          assert.equal(textOf(answer.chunks), ANSWER);
          if (mode === "cost") assert.deepEqual(answer.rubbish, []);
          const row = await world.row(answer.headers.get("x-generation-id"));
          assert.deepEqual([row.outcome, row.estimated, row.finish_reason], ["broken", 1, "error"]);
          assert.ok(row.cost_nano > 0, "what was sent is paid for");
        });
      }
    }
  });
}
