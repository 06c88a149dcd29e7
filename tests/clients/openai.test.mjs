// OpenAI's own SDK for Node with its base URL changed, against the demo.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { eventually } from "../support/common.mjs";
import { demoCost, startDemo } from "../support/demo.mjs";
import { recordingFetch } from "../support/record.mjs";

let demo;
let client;
const fast = "demo/chat-small:nitro";
const hello = [{ role: "user", content: "Hello there" }];
const as = (apiKey) => new OpenAI({ baseURL: demo.base, apiKey, maxRetries: 0, fetch: recordingFetch });

before(async () => {
  demo = await startDemo();
  client = as(demo.keys.inference);
});
after(() => demo.stop());

test("chat", async () => {
  const answer = await client.chat.completions.create({ model: fast, messages: hello });
  assert.match(answer.id, /^gen-/);
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.model, "demo/chat-small");
  assert.equal(answer.provider, "Demo (fast)");
  assert.match(answer.choices[0].message.content, /Hello there/);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.cost, demoCost("fast", answer.usage));
});

test("a model, its :floor and its :nitro go to three providers", async () => {
  const providers = [];
  for (const suffix of ["", ":floor", ":nitro"]) providers.push((await client.chat.completions.create({ model: `demo/chat-small${suffix}`, messages: hello, max_tokens: 3 })).provider);
  assert.deepEqual(providers, ["Demo (balanced)", "Demo (cheap)", "Demo (fast)"]);
});

test("streaming: chunks, then usage with cost, then the end", async () => {
  const { data: stream, response } = await client.chat.completions.create({ model: fast, messages: hello, stream: true }).withResponse();
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const id = response.headers.get("x-generation-id");
  assert.ok(chunks.length > 5 && chunks.every((chunk) => chunk.id === id && chunk.provider === "Demo (fast)" && chunk.model === "demo/chat-small"));
  assert.match(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), /Hello there/);
  const last = chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.prompt_tokens > 0 && last.usage.completion_tokens > 0);
  assert.equal(last.usage.cost, demoCost("fast", last.usage));
  assert.equal(chunks.filter((chunk) => chunk.usage).length, 1);
});

test("the SDK's own assembly of a stream", async () => {
  const runner = client.chat.completions.stream({ model: fast, messages: hello });
  const final = await runner.finalChatCompletion();
  assert.match(final.choices[0].message.content, /Hello there/);
  assert.ok((await runner.totalUsage()).total_tokens > 0);
});

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } }, required: ["city"] } } }];

test("tools: a call, its result, the answer", async () => {
  const first = await client.chat.completions.create({ model: fast, messages: hello, tools });
  const [call] = first.choices[0].message.tool_calls;
  assert.equal(first.choices[0].finish_reason, "tool_calls");
  assert.equal(call.function.name, "weather");
  assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
  const messages = [...hello, first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" }];
  const second = await client.chat.completions.create({ model: fast, messages, tools });
  assert.match(second.choices[0].message.content, /sunny/);
});

test("tools in a stream", async () => {
  const final = await client.chat.completions.stream({ model: fast, messages: hello, tools }).finalChatCompletion();
  assert.equal(final.choices[0].message.tool_calls[0].function.name, "weather");
});

test("structured output", async () => {
  const schema = { type: "object", properties: { answer: { type: "integer" } }, required: ["answer"], additionalProperties: false };
  const { choices } = await client.chat.completions.create({ model: fast, messages: hello, response_format: { type: "json_schema", json_schema: { name: "a", strict: true, schema } } });
  assert.equal(typeof JSON.parse(choices[0].message.content).answer, "number");
});

test("models: the list and one of it", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids.filter((id) => id.startsWith("demo/")).sort(), ["demo/chat-large", "demo/chat-small", "demo/reasoner"]);
});

for (const stream of [false, true]) {
  test(`the generation is found within five seconds, with tokens and cost (${stream ? "stream" : "whole"})`, async () => {
    const request = { model: fast, messages: hello, user: "somebody" };
    let usage;
    let id;
    if (stream) {
      for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
        id = chunk.id;
        usage = chunk.usage ?? usage;
      }
    } else ({ id, usage } = await client.chat.completions.create(request));
    const { data } = await eventually("the generation", async () => {
      const response = await recordingFetch(`${demo.base}/generation?id=${id}`, { headers: { authorization: `Bearer ${demo.keys.inference}` } });
      return response.status === 200 ? response.json() : undefined;
    }, 5);
    assert.deepEqual([data.id, data.model, data.streamed], [id, "demo/chat-small", stream]);
    assert.deepEqual([data.tokens_prompt, data.tokens_completion, data.total_cost], [usage.prompt_tokens, usage.completion_tokens, usage.cost]);
  });
}

test("leaving a stream ends it, and it is recorded as cancelled", async () => {
  const stream = await client.chat.completions.create({ model: "demo/chat-small:floor", messages: hello, stream: true });
  let id;
  for await (const chunk of stream) {
    id = chunk.id;
    if (chunk.choices[0]?.delta.content) break;
  }
  const data = await demo.generation(id, 15);
  assert.deepEqual([data.cancelled, data.outcome], [true, "cancelled"]);
});

test("aborting a request in mid-stream", async () => {
  const abort = new AbortController();
  const stream = await client.chat.completions.create({ model: "demo/chat-small:floor", messages: hello, stream: true }, { signal: abort.signal });
  let id;
  for await (const chunk of stream) {
    id = chunk.id;
    abort.abort();
  }
  assert.equal((await demo.generation(id, 15)).cancelled, true);
});

const errors = [
  ["a key that is none", OpenAI.AuthenticationError, 401, "invalid_api_key", null, () => as("sk-nonsense").chat.completions.create({ model: fast, messages: hello })],
  ["a management key", OpenAI.PermissionDeniedError, 403, "wrong_key_kind", null, () => as(demo.keys.management).chat.completions.create({ model: fast, messages: hello })],
  ["an unknown model", OpenAI.BadRequestError, 400, "model_not_found", "model", () => client.chat.completions.create({ model: "nobody/nothing", messages: hello })],
  ["a wrong type", OpenAI.BadRequestError, 400, "invalid_request", "temperature", () => client.chat.completions.create({ model: fast, messages: hello, temperature: "hot" })],
  ["a wrong type, asked for a stream", OpenAI.BadRequestError, 400, "invalid_request", "messages", () => client.chat.completions.create({ model: fast, messages: [], stream: true })],
  ["nobody left to serve", OpenAI.NotFoundError, 404, "no_endpoints", "model", () => client.chat.completions.create({ model: fast, messages: hello, provider: { only: ["nobody"] } })],
  ["an unknown model looked up", OpenAI.NotFoundError, 404, "not_found", undefined, () => client.models.retrieve("nobody")],
];
for (const [what, type, status, code, param, run] of errors) {
  test(`errors are the SDK's own: ${what}`, async () => {
    const error = await run().then(() => assert.fail("no error"), (error) => error);
    assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
    assert.deepEqual([error.status, error.code], [status, code]);
    if (param !== undefined) assert.equal(error.param, param);
  });
}
