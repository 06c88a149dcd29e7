// What a client gets of a stream: native, the provider's bytes exactly; edited, everything as it was but
// id, model, provider and usage, whatever the cuts between chunks. On both runtimes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, chunk, completion, data, textOf, USAGE, wholeStream } from "../support/chat.mjs";
import { ANSWER } from "../support/common.mjs";
import { answers, cut, streams } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { PRICE, startWorld } from "../support/world.mjs";

const NATIVE = { headers: { "x-sluice-stream": "native" } };
const cost = ({ prompt_tokens, completion_tokens }, times = 1) => Number(((prompt_tokens * PRICE.prompt + completion_tokens * PRICE.completion) * times).toFixed(9));

// A stream with the oddities of real ones.
const odd = [
  ": a comment\n\n",
  "event: message\nid: 7\nretry: 100\n" + data(chunk({ role: "assistant", content: "" })),
  data({ ...chunk({ content: "Größe ☃ 𝄞 " }), x_extra: { deep: [1.50, "é"] }, obfuscation: "aaaa" }),
  `data:${JSON.stringify(chunk({ content: ANSWER }))}\r\n\r\n`,
  `data: ${JSON.stringify(chunk({ reasoning_content: "hm" })).replace(',"created"', ',\ndata: "created"')}\n\n`,
  data(chunk({ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "f", arguments: "" } }] })),
  data(chunk({ tool_calls: [{ index: 0, function: { arguments: "{\"a\":1}" } }] })),
  data({ ...chunk({}), choices: [{ index: 0, delta: {}, finish_reason: "tool_calls", logprobs: null }] }),
  data({ ...chunk({}), choices: [], usage: { ...USAGE, prompt_tokens_details: { cached_tokens: 3 }, x_time: 0.25 } }),
  data("[DONE]"),
];

// A chunk without what the gateway owns.
const rest = ({ id, model, provider, usage, ...chunk }) => ({
  ...chunk, choices: chunk.choices.map(({ native_finish_reason, ...choice }) => choice),
});
const originals = (pieces) => pieces.map((piece) => piece.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n"))
  .filter((text) => text !== "" && text.trim() !== "[DONE]").map((text) => JSON.parse(text));

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, { concurrency: 8 }, () => {
    let world;
    before(async () => { world = await startWorld(start); });
    after(() => world.stop());

    const cuts = [["one by one", odd], ["in one piece", [odd.join("")]], ...[[1], [2, 3], [7, 30, 1], [100]].map((sizes) => [`cut by ${sizes}`, cut(odd.join(""), ...sizes)])];
    for (const [how, pieces] of cuts) {
      test(`edited: all but what the gateway owns is as it was, events ${how}`, async () => {
        const model = await world.model(streams(pieces));
        const { chunks, comments, rubbish, done, headers } = await world.stream(ask(model));
        assert.match(headers.get("content-type"), /^text\/event-stream/);
        assert.deepEqual(chunks.map(rest), originals(odd).map(rest));
        assert.deepEqual(rubbish, []);
        assert.deepEqual(comments, [": a comment"]);
        assert.ok(done);
        const id = headers.get("x-generation-id");
        for (const one of chunks) assert.deepEqual([one.id, one.model, one.provider], [id, model, "Fake fake-1"]);
        assert.equal(chunks.at(-2).choices[0].native_finish_reason, "tool_calls");
        const last = chunks.at(-1);
        assert.deepEqual(last.choices, []);
        assert.equal(last.usage.cost, cost(USAGE));
        assert.equal(last.usage.x_time, 0.25, "the provider's own members stay");
        assert.equal(chunks.filter((one) => one.usage).length, 1);
      });

      test(`native: every byte is as it was, events ${how}`, async () => {
        const model = await world.model(streams(pieces));
        const answer = await world.stream(ask(model), NATIVE);
        assert.equal(answer.text, odd.join(""));
        const row = await world.row(answer.headers.get("x-generation-id"));
        assert.deepEqual([row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.cost_nano, row.outcome], [11, 7, 3, 25_000, "ok"]);
      });
    }

    test("a large native stream is whole and counted", async () => {
      const words = Array.from({ length: 3000 }, (_, n) => `word ${n} ${"x".repeat(n % 97)}`);
      const text = wholeStream(words).join("");
      const model = await world.model(streams(cut(text, 1, 4096, 17, 65_536, 300)));
      const answer = await world.stream(ask(model), NATIVE);
      assert.ok(answer.text === text, `${answer.text.length} of ${text.length} characters`);
      assert.equal((await world.row(answer.headers.get("x-generation-id"))).completion_tokens, USAGE.completion_tokens);
    });

    test("a key may ask for native streams, a request for cost all the same", async () => {
      const { body } = await world.admin("POST", "/keys", { name: "native", stream_usage: "native" });
      const model = await world.model(streams(wholeStream()));
      assert.equal((await world.stream(ask(model), { key: body.key })).text, wholeStream().join(""));
      const edited = await world.stream(ask(model), { key: body.key, headers: { "x-sluice-stream": "cost" } });
      assert.equal(edited.chunks.at(-1).usage.cost, cost(USAGE));
    });

    test("the provider is always asked for usage; other stream options stay", async () => {
      const model = await world.model(streams(wholeStream()));
      await world.stream(ask(model, { stream_options: { include_usage: false, x: 1 } }));
      assert.deepEqual(world.received(model)[0].body.stream_options, { include_usage: true, x: 1 });
      await world.chat(ask(await world.model(answers(completion())), {}));
    });

    const usages = [
      ["none", null, null], ["negative", { prompt_tokens: -1, completion_tokens: 5 }, null], ["fractions", { prompt_tokens: 1.5, completion_tokens: 2 }, null],
      ["strings", { prompt_tokens: "7", completion_tokens: 2 }, null], ["absurd", { prompt_tokens: 1e300, completion_tokens: 2 }, null], ["an array", [], null],
      ["floats that are whole", { prompt_tokens: 10.0, completion_tokens: 4 }, [10, 4]],
      ["null completion", { prompt_tokens: 10, completion_tokens: null }, [10, 0]],
      ["reasoning counted beside", { prompt_tokens: 10, completion_tokens: 5, total_tokens: 18, completion_tokens_details: { reasoning_tokens: 3 } }, [10, 8]],
    ];
    for (const [what, usage, tokens] of usages) {
      for (const stream of [false, true]) {
        test(`usage: ${what}, ${stream ? "stream" : "whole"}`, async () => {
          const behaviour = stream ? streams(wholeStream(undefined, { usage })) : answers(completion({ usage }));
          const model = await world.model(behaviour);
          const answer = await world.stream(ask(model));
          const whole = stream ? answer : await world.chat(ask(model));
          const seen = stream ? answer.chunks.at(-1).usage : whole.body.usage;
          const row = await world.row(whole.headers.get("x-generation-id"));
          if (tokens === null) {
            assert.equal(seen.is_estimated, true);
            assert.ok(seen.prompt_tokens > 0 && seen.completion_tokens > 0 && seen.cost > 0, JSON.stringify(seen));
            assert.equal(row.estimated, 1);
          } else {
            assert.equal(seen.is_estimated, undefined);
            assert.deepEqual([row.prompt_tokens, row.completion_tokens, row.estimated], [...tokens, 0]);
          }
          assert.equal(row.cost_nano, Math.round(seen.cost * 1e9), "the record says what the client was told");
        });
      }
    }

    test("usage in the last content chunk is moved to the closing chunk", async () => {
      const pieces = [data(chunk({ content: "hi" })), data({ ...chunk({}, { finish_reason: "stop" }), usage: USAGE }), data("[DONE]")];
      const { chunks, done } = await world.stream(ask(await world.model(streams(pieces))));
      assert.deepEqual(chunks.map((one) => one.usage?.cost), [undefined, undefined, cost(USAGE)]);
      assert.ok(done);
    });

    test("a stream without [DONE] and without its last blank line is whole all the same", async () => {
      const pieces = wholeStream().slice(0, -1).join("").trimEnd();
      const { chunks, done } = await world.stream(ask(await world.model(streams([pieces]))));
      assert.equal(textOf(chunks), `All about ${ANSWER}.`);
      assert.equal(chunks.at(-1).usage.cost, cost(USAGE));
      assert.ok(done);
    });

    test("what a provider sends after [DONE] is not shown", async () => {
      const { text } = await world.stream(ask(await world.model(streams([...wholeStream(), data(chunk({ content: "more" }))]))));
      assert.ok(!text.includes('"more"') && text.endsWith("data: [DONE]\n\n"));
    });

    test("an answer that is not streamed keeps its bytes, but for what the gateway sets", async () => {
      const body = `{ "id":"x",\n "choices":[{"index":0,"message":{"role":"assistant","content":"\\u00e9 \\/ ${ANSWER}","n":1.50},"finish_reason":"stop"}], "big":12345678901234567890, "usage":{"prompt_tokens":11,"completion_tokens":7} }`;
      const answer = await world.chat(ask(await world.model(answers(body))));
      for (const kept of ['"content":"\\u00e9 \\/ ', '"n":1.50', '"big":12345678901234567890']) assert.ok(answer.text.includes(kept), `${kept} in ${answer.text}`);
      assert.equal(answer.body.usage.cost, cost(USAGE));
      assert.equal(answer.body.id, answer.headers.get("x-generation-id"));
    });

    test("the routing story comes when it is asked for", async () => {
      const model = await world.model([answers("", { status: 500 }), streams(wholeStream())]);
      const { chunks } = await world.stream(ask(model), { headers: { "x-openrouter-metadata": "enabled" } });
      const { openrouter_metadata: story } = chunks.at(-1);
      assert.deepEqual(story.attempts.map(({ provider, status }) => [provider, status]), [["fake-1", 500], ["fake-2", 200]]);
      assert.equal(story.endpoints.total, 2);
    });
  });
}
