// Every provider dialect behind every client format: how the provider is asked, and what becomes of streams
// that break, stall, fall silent or are left.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { USAGE } from "../support/chat.mjs";
import { ANSWER, pause, PROMPT } from "../support/common.mjs";
import { DIALECTS, FAILURE, registerDialects, wholeOf } from "../support/dialects.mjs";
import { answers, gate, hang, reset, streams } from "../support/fake-provider.mjs";
import { CLIENTS } from "../support/formats/clients.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { PRICE, startWorld } from "../support/world.mjs";

const dialects = Object.entries(DIALECTS);
const clients = Object.entries(CLIENTS);
const WORDS = ["All ", "about ", ANSWER, "."];
const COST = USAGE.prompt_tokens * PRICE.prompt + USAGE.completion_tokens * PRICE.completion;
const SECRETS = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

// A request with a bit of everything, and the same as each format has it.
const schema = { type: "object", properties: { at: { type: "string" } } };
const look = { name: "look", description: "Looks." };
const calls = [{ id: "call_1", type: "function", function: { name: "look", arguments: '{"at":"sky"}' } }];
const ASKED = {
  messages: [
    { role: "system", content: "Be brief." }, { role: "user", content: PROMPT }, { role: "assistant", content: null, tool_calls: calls }, { role: "tool", tool_call_id: "call_1", content: "blue" },
  ],
  max_tokens: 50, temperature: 0.5, tools: [{ type: "function", function: { ...look, parameters: schema } }], tool_choice: "auto",
};
const claude = {
  max_tokens: 50, temperature: 0.5, system: "Be brief.", tools: [{ ...look, input_schema: schema }], tool_choice: { type: "auto" },
  messages: [
    { role: "user", content: PROMPT }, { role: "assistant", content: [{ type: "tool_use", id: "call_1", name: "look", input: { at: "sky" } }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "call_1", content: "blue" }] },
  ],
};
const google = {
  systemInstruction: { parts: [{ text: "Be brief." }] }, generationConfig: { maxOutputTokens: 50, temperature: 0.5 },
  tools: [{ functionDeclarations: [{ ...look, parametersJsonSchema: schema }] }], toolConfig: { functionCallingConfig: { mode: "AUTO" } },
  contents: [
    { role: "user", parts: [{ text: PROMPT }] }, { role: "model", parts: [{ functionCall: { name: "look", args: { at: "sky" } } }] },
    { role: "user", parts: [{ functionResponse: { name: "look", response: { output: "blue" } } }] },
  ],
};
const SPOKEN = {
  openai: ASKED,
  "azure-openai": ASKED,
  "openai-responses": {
    max_output_tokens: 50, temperature: 0.5, store: false, tools: [{ type: "function", ...look, parameters: schema, strict: false }], tool_choice: "auto",
    input: [
      { role: "system", content: "Be brief." }, { role: "user", content: PROMPT }, { type: "function_call", call_id: "call_1", name: "look", arguments: '{"at":"sky"}' },
      { type: "function_call_output", call_id: "call_1", output: "blue" },
    ],
  },
  anthropic: claude,
  gemini: google,
  vertex: google,
  bedrock: {
    system: [{ text: "Be brief." }], inferenceConfig: { maxTokens: 50, temperature: 0.5 }, toolConfig: { tools: [{ toolSpec: { ...look, inputSchema: { json: schema } } }] },
    messages: [
      { role: "user", content: [{ text: PROMPT }] }, { role: "assistant", content: [{ toolUse: { toolUseId: "call_1", name: "look", input: { at: "sky" } } }] },
      { role: "user", content: [{ toolResult: { toolUseId: "call_1", content: [{ text: "blue" }] } }] },
    ],
  },
  // That the model chooses is what Cohere and Bedrock take for granted.
  cohere: {
    stream: false, max_tokens: 50, temperature: 0.5, tools: ASKED.tools,
    messages: ASKED.messages.map(({ content, ...message }) => (content === null ? message : { ...message, content })),
  },
  ollama: {
    stream: false, options: { num_predict: 50, temperature: 0.5 }, tools: ASKED.tools,
    messages: [
      { role: "system", content: "Be brief." }, { role: "user", content: PROMPT }, { role: "assistant", content: "", tool_calls: [{ type: "function", function: { name: "look", arguments: { at: "sky" } } }] },
      { role: "tool", tool_name: "look", content: "blue" },
    ],
  },
};

describe("on workerd", { concurrency: 8 }, () => {
  let world;
  let models = 0;
  before(async () => {
    world = await startWorld(startWorkerd);
    await registerDialects(world, "-d", { timeouts_ms: { first_token: 10_000, idle: 20_000, total: 60_000 } });
    await registerDialects(world, "-hasty", { timeouts_ms: { first_token: 800, idle: 20_000, total: 60_000 } });
  });
  after(() => world.stop());

  // A model served by these providers in turn: [[dialect, behaviour, suffix], ...].
  const modelOf = (...served) => {
    const prefix = served.map(([dialect]) => DIALECTS[dialect].prefix).find(Boolean) ?? "";
    const providers = served.map(([dialect, , suffix = "-d"]) => dialect + suffix);
    return world.model(served.map(([, behaviour]) => behaviour), { name: `${prefix}t${++models}`, providers });
  };
  const streamed = (dialect, pieces) => streams(pieces, { headers: { "content-type": DIALECTS[dialect].type } });
  const asking = (client, model, stream) => {
    const { path, body, headers } = CLIENTS[client];
    return [path(model, stream), { headers, body: body(model, `Say something about ${PROMPT}.`, stream) }];
  };
  const send = (client, model, stream, key = world.gateway.keys.inference) => {
    const [path, more] = asking(client, model, stream);
    return world.request("POST", path, { key, ...more });
  };
  // A stream, read by hand: {id, till(text) reads until it has come, rest() to the end, leave()}.
  const open = async (client, model) => {
    const [path, { headers, body }] = asking(client, model, true);
    const leave = new AbortController();
    const authorization = `Bearer ${world.gateway.keys.inference}`;
    const response = await fetch(world.gateway.url + path, { method: "POST", signal: leave.signal, body: JSON.stringify(body), headers: { "content-type": "application/json", authorization, ...headers } });
    assert.equal(response.status, 200);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const read = async (enough) => {
      while (!enough(text)) {
        const { done, value } = await reader.read();
        if (done) break;
        text += value;
      }
      return text;
    };
    return { id: response.headers.get("x-generation-id"), till: (words) => read((all) => all.includes(words)), rest: () => read(() => false), leave: () => leave.abort() };
  };

  for (const [dialect, format] of dialects) {
    for (const stream of [false, true]) {
      test(`${dialect} is asked in its own way, ${stream ? "stream" : "whole"}`, async () => {
        const model = await modelOf([dialect, stream ? streamed(dialect, wholeOf(format, WORDS)) : answers(format.whole(WORDS.join("")))]);
        const answer = await send("chat", model, stream);
        assert.equal(answer.status, 200, answer.text);
        const [exchange] = world.received(model);
        assert.equal(exchange.path, format.path(`${model.replace("test/", "")}-1`, stream));
        for (const [name, value] of Object.entries(format.shown)) assert.equal(exchange.headers[name], value, name);
        for (const name of SECRETS.filter((name) => format.shown[name] === undefined)) assert.equal(exchange.headers[name], undefined, name);
        assert.equal(exchange.headers["content-type"], "application/json");
        const said = stream ? CLIENTS.chat.streamed(answer.text) : CLIENTS.chat.said(answer.body);
        assert.deepEqual([said.choices[0].text, said.choices[0].finish], [WORDS.join(""), "stop"]);
        const row = await world.row(answer.headers.get("x-generation-id"));
        assert.deepEqual([row.outcome, row.provider, row.prompt_tokens, row.completion_tokens, row.estimated], ["ok", `${dialect}-d`, 11, 7, 0]);
        assert.equal(row.cost_nano, Math.round(COST * 1e9));
      });
    }
  }

  for (const [dialect, body] of Object.entries(SPOKEN)) {
    test(`${dialect} gets the request in its own words`, async () => {
      const model = await modelOf([dialect, answers(DIALECTS[dialect].whole("fine"))]);
      const answer = await world.chat({ model, ...ASKED });
      assert.equal(answer.status, 200, answer.text);
      const named = DIALECTS[dialect].path("NAME").includes("NAME") && !/azure/.test(dialect) ? {} : { model: `${model.replace("test/", "")}-1` };
      assert.deepEqual(world.received(model)[0].body, { ...named, ...body });
      assert.equal(answer.headers.get("x-sluice-losses"), null);
    });
  }

  // How a stream goes wrong after its first content.
  const endings = [["says that it failed", (format) => format.failure, new RegExp(FAILURE)], ["breaks off", () => reset, /closed the connection/]];
  for (const [dialect, format] of dialects) {
    for (const [what, ending, words] of endings) {
      test(`${dialect}: a stream that ${what} is an error in every client's format`, () => Promise.all(clients.map(async ([client, { streamed: read, ended }]) => {
        const seen = gate();
        const broken = streamed(dialect, [...format.begin, format.word(ANSWER), (exchange) => seen.wait(exchange), ending(format)]);
        const model = await modelOf([dialect, broken], ["openai", streamed("openai", wholeOf(DIALECTS.openai, WORDS))]);
        const stream = await open(client, model);
        await stream.till(ANSWER);
        seen.open();
        const text = await stream.rest();
        const { choices, failure } = read(text);
        assert.equal(choices[0].text, ANSWER, `${client}: ${text}`);
        assert.match(failure?.message ?? "", words, `${client}: ${text}`);
        // Responses has an end for it.
        assert.ok(!ended(text.replaceAll('"response.failed"', "")), `${client} sees no clean end: ${text}`);
        const row = await world.row(stream.id);
        assert.deepEqual([row.outcome, row.finish_reason], ["broken", "error"], client);
        assert.ok(row.completion_tokens >= 4 && row.cost_nano > 0, `${client}: what was sent is paid for`);
        assert.equal(world.received(model, 2).length, 0, "nobody takes over");
      })));
    }
  }

  for (const [n, [dialect, format]] of dialects.entries()) {
    const [other, second] = dialects[(n + 1) % dialects.length];
    test(`${dialect} stalls before any content: ${other} takes over`, async () => {
      const model = await modelOf([dialect, streamed(dialect, [...format.begin, hang]), "-hasty"], [other, streamed(other, wholeOf(second, WORDS))]);
      const answer = await send("messages", model, true);
      const said = CLIENTS.messages.streamed(answer.text);
      assert.deepEqual([said.choices[0].text, said.failure], [WORDS.join(""), null], answer.text);
      const row = await world.row(answer.headers.get("x-generation-id"));
      assert.deepEqual(row.attempts.map((one) => [one.provider, one.status ?? null, one.cause ?? null]), [[`${dialect}-hasty`, null, "timeout"], [`${other}-d`, 200, null]]);
    });

    test(`${dialect}: a client that leaves stops the provider`, async () => {
      const words = Array.from({ length: 400 }, () => [format.word(`${ANSWER} `), 50]).flat();
      const model = await modelOf([dialect, streamed(dialect, [...format.begin, ...words])]);
      const stream = await open("gemini", model);
      await stream.till(ANSWER);
      await pause(300);
      stream.leave();
      const [exchange] = world.received(model);
      await Promise.race([exchange.closed, pause(5000).then(() => assert.fail("the provider goes on"))]);
      assert.ok(exchange.aborted);
      const row = await world.row(stream.id);
      assert.deepEqual([row.outcome, row.estimated], ["cancelled", 1]);
      assert.ok(row.completion_tokens >= 8 && row.cost_nano > 0, "what was consumed is paid for");
    });
  }

  // A key with places for parallel requests has a comment each second, others every ten.
  for (const [client] of clients) {
    // Gemini's streams have no comments, but empty lines; their own lines end with carriage returns.
    const comment = client.startsWith("gemini") ? /\n\n/ : /^: SLUICE PROCESSING$/m;
    test(`${client}: long silences are filled`, async () => {
      const { key } = (await world.admin("POST", "/keys", { name: client, rate_limit: { max_parallel: 2 } })).body;
      for (const before of [true, false]) {
        const words = WORDS.map(DIALECTS.cohere.word);
        const pieces = before ? [2500, ...words] : [...words.slice(0, 2), 2500, ...words.slice(2)];
        const model = await modelOf(["cohere", streamed("cohere", [...DIALECTS.cohere.begin, ...pieces, ...DIALECTS.cohere.end])]);
        const { text } = await send(client, model, true, key);
        const { choices, failure } = CLIENTS[client].streamed(text);
        assert.deepEqual([choices[0].text, failure], [WORDS.join(""), null], text);
        const [head, tail] = text.split("about ");
        assert.deepEqual([comment.test(head), comment.test(tail)], [before, !before], `in the silence alone: ${text}`);
      }
    });
  }
});
