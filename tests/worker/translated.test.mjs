// Every provider dialect behind every client format: what the provider is asked, what the client gets, and
// what becomes of streams that break, stall or are left.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { parsed, USAGE } from "../support/chat.mjs";
import { ANSWER, pause, PROMPT } from "../support/common.mjs";
import { DIALECTS, FAILURE, registerDialects, wholeOf } from "../support/dialects.mjs";
import { answers, gate, hang, reset, streams } from "../support/fake-provider.mjs";
import { CLIENTS } from "../support/formats/clients.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { PRICE, startWorld } from "../support/world.mjs";

const dialects = Object.entries(DIALECTS);
const clients = Object.entries(CLIENTS);
const WORDS = ["All ", "about ", ANSWER, "."];
const COST = Number((USAGE.prompt_tokens * PRICE.prompt + USAGE.completion_tokens * PRICE.completion).toFixed(9));

describe("on workerd", { concurrency: 8 }, () => {
  let world;
  let models = 0;
  before(async () => {
    world = await startWorld(startWorkerd);
    await registerDialects(world);
  });
  after(() => world.stop());

  // A model served by these dialects in turn: [[dialect, behaviour], ...].
  const modelOf = (served) => {
    const prefix = served.map(([name]) => DIALECTS[name].prefix).find(Boolean) ?? "";
    return world.model(served.map(([, behaviour]) => behaviour), { name: `${prefix}t${++models}`, providers: served.map(([name]) => name) });
  };
  const send = (client, model, stream, { key = world.gateway.keys.inference } = {}) => {
    const { path, body, headers } = CLIENTS[client];
    return world.request("POST", path(model, stream), { key, headers, body: body(model, `Say something about ${PROMPT}.`, stream) });
  };
  const streamed = (dialect, pieces) => streams(pieces, { headers: { "content-type": DIALECTS[dialect].type } });
  const upstream = (model) => `${model.replace("test/", "")}-1`;

  for (const [dialect, format] of dialects) {
    for (const stream of [false, true]) {
      test(`${dialect} is asked in its own way, ${stream ? "stream" : "whole"}`, async () => {
        const model = await modelOf([[dialect, stream ? streamed(dialect, wholeOf(format, WORDS)) : answers(format.whole(WORDS.join("")))]]);
        const answer = await send("chat", model, stream);
        assert.equal(answer.status, 200, answer.text);
        const [exchange] = world.received(model);
        assert.equal(exchange.path, format.path(upstream(model), stream));
        for (const [name, value] of Object.entries(format.shown)) assert.equal(exchange.headers[name], value, name);
        const others = ["authorization", "x-api-key", "api-key", "x-goog-api-key"].filter((name) => format.shown[name] === undefined);
        for (const name of others) assert.equal(exchange.headers[name], undefined, name);
        assert.equal(exchange.headers["content-type"], "application/json");
        const said = stream ? CLIENTS.chat.streamed(answer.text) : CLIENTS.chat.said(answer.body);
        assert.deepEqual([said.choices[0].text, said.choices[0].finish], [WORDS.join(""), "stop"]);
        const row = await world.row(answer.headers.get("x-generation-id"));
        assert.deepEqual([row.outcome, row.provider, row.prompt_tokens, row.completion_tokens, row.estimated], ["ok", dialect, 11, 7, 0]);
        assert.equal(row.cost_nano, Math.round(COST * 1e9));
      });
    }
  }

  // Which way a stream goes wrong after its first content.
  const endings = [["says that it failed", (format) => format.failure, new RegExp(FAILURE)], ["breaks off", () => reset, /broke|connection/i]];
  for (const [dialect, format] of dialects) {
    for (const [what, ending, words] of endings) {
      test(`${dialect}: a stream that ${what} is an error in every client's format`, async () => {
        await Promise.all(clients.map(async ([client, { streamed: read, ended }]) => {
          const broken = streamed(dialect, [...format.begin, format.word(ANSWER), 100, ending(format)]);
          const model = await modelOf([[dialect, broken], ["openai", streamed("openai", wholeOf(DIALECTS.openai, WORDS))]]);
          const answer = await send(client, model, true);
          assert.equal(answer.status, 200, answer.text);
          const { choices, failure } = read(answer.text);
          assert.equal(choices[0].text, ANSWER, `${client}: ${answer.text}`);
          assert.match(failure?.message ?? "", words, `${client}: ${answer.text}`);
          // Responses ends in a word for it.
          assert.ok(!ended(answer.text.replaceAll('"response.failed"', "")), `${client} sees no clean end: ${answer.text}`);
          const row = await world.row(answer.headers.get("x-generation-id"));
          assert.deepEqual([row.outcome, row.finish_reason, row.estimated], ["broken", "error", 1], client);
          assert.ok(row.completion_tokens > 3 && row.cost_nano > 0, "what was sent is paid for");
          assert.equal(world.received(model, 2).length, 0, "nobody takes over");
        }));
      });
    }
  }

  for (const [n, [dialect, format]] of dialects.entries()) {
    const [other, second] = dialects[(n + 1) % dialects.length];
    test(`${dialect} stalls before any content: ${other} takes over`, async () => {
      const model = await modelOf([[dialect, streamed(dialect, [...format.begin, hang])], [other, streamed(other, wholeOf(second, WORDS))]]);
      const answer = await send("messages", model, true);
      const said = CLIENTS.messages.streamed(answer.text);
      assert.deepEqual([said.choices[0].text, said.failure], [WORDS.join(""), null]);
      const row = await world.row(answer.headers.get("x-generation-id"));
      assert.deepEqual(row.attempts.map((one) => [one.provider, one.status ?? null, one.cause ?? null]), [[dialect, null, "timeout"], [other, 200, null]]);
    });

    test(`${dialect}: a client that leaves stops the provider`, async () => {
      const words = Array.from({ length: 400 }, () => [format.word(`${ANSWER} `), 50]).flat();
      const model = await modelOf([[dialect, streamed(dialect, [...format.begin, ...words])]]);
      const { response, id, leave } = await world.open({ model, messages: [{ role: "user", content: PROMPT }] });
      const reader = response.body.getReader();
      for (let size = 0; size < 3000; ) size += (await reader.read()).value.length;
      leave();
      const [exchange] = world.received(model);
      await Promise.race([exchange.closed, pause(5000).then(() => assert.fail("the provider goes on"))]);
      assert.ok(exchange.aborted);
      const row = await world.row(id);
      assert.deepEqual([row.outcome, row.estimated], ["cancelled", 1]);
      assert.ok(row.completion_tokens > 10 && row.cost_nano > 0);
    });
  }
});
