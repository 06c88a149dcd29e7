// Requests as Claude Code makes them, against a provider of Anthropic's format and one of OpenAI's chat.
// What it sends and needs: code.claude.com/docs/en/llm-gateway-protocol, docs.anthropic.com/en/api (November 2026).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { chunk, completion, data, parsed } from "../support/chat.mjs";
import { ANSWER, PROMPT } from "../support/common.mjs";
import { answers, fails, reset, streams } from "../support/fake-provider.mjs";
import { sse } from "../support/formats/frames.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14,context-management-2025-06-27";
const HEADERS = {
  "anthropic-version": "2023-06-01", "anthropic-beta": BETAS, "anthropic-dangerous-direct-browser-access": "true",
  "user-agent": "claude-cli/2.1.303 (external, cli)", "x-app": "cli", "x-claude-code-session-id": "0b9d9d5e-1111-4222-8333-444455556666",
  "x-stainless-lang": "js", "x-stainless-retry-count": "0", "x-stainless-timeout": "600", "x-stainless-helper-method": "stream",
};
const CACHED = { type: "ephemeral" };
const TOOLS = [
  { name: "Bash", description: "Runs a command.", input_schema: { $schema: "http://json-schema.org/draft-07/schema#", type: "object", properties: { command: { type: "string" }, timeout: { type: "number" } }, required: ["command"], additionalProperties: false } },
  { name: "Read", description: "Reads a file.", input_schema: { type: "object", properties: { file_path: { type: "string" } }, required: ["file_path"] }, cache_control: CACHED },
];
const ask = (model, more = {}) => ({
  model, max_tokens: 32_000, stream: true, temperature: 1, tools: TOOLS,
  system: [
    { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.303; cc_entrypoint=cli;" },
    { type: "text", text: "You are an agent at a command line.", cache_control: CACHED },
    { type: "text", text: "You help with software.", cache_control: { type: "ephemeral", ttl: "1h" } },
  ],
  messages: [{ role: "user", content: [{ type: "text", text: "<system-reminder>Today is Monday.</system-reminder>" }, { type: "text", text: `List the files. ${PROMPT}`, cache_control: CACHED }] }],
  metadata: { user_id: "user_0a1b_account__session_0b9d9d5e" },
  thinking: { type: "enabled", budget_tokens: 31_999 },
  context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
  ...more,
});

const SIGNATURE = "c2lnbmF0dXJlLW9mLXRoZS10aG91Z2h0";
const head = { id: "msg_01", type: "message", role: "assistant", model: "claude-x", content: [], stop_reason: null, stop_sequence: null };
const anthropicTurn = [
  { type: "message_start", message: { ...head, usage: { input_tokens: 12, cache_creation_input_tokens: 300, cache_read_input_tokens: 4000, output_tokens: 1, service_tier: "standard" } } },
  { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "", signature: "" } },
  { type: "ping" },
  { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "A list " } },
  { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "is wanted." } },
  { type: "content_block_delta", index: 0, delta: { type: "signature_delta", signature: SIGNATURE } },
  { type: "content_block_stop", index: 0 },
  { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: ANSWER } },
  { type: "content_block_stop", index: 1 },
  { type: "content_block_start", index: 2, content_block: { type: "tool_use", id: "toolu_01", name: "Bash", input: {} } },
  { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: "" } },
  { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: '{"command": "ls' } },
  { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: ' -la"}' } },
  { type: "content_block_stop", index: 2 },
  { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 40 } },
  { type: "message_stop" },
].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
const chatTurn = [
  data(chunk({ role: "assistant", content: "" })),
  data(chunk({ reasoning_content: "A list " })), data(chunk({ reasoning_content: "is wanted." })),
  data(chunk({ content: ANSWER })),
  data(chunk({ tool_calls: [{ index: 0, id: "call_01", type: "function", function: { name: "Bash", arguments: "" } }] })),
  data(chunk({ tool_calls: [{ index: 0, function: { arguments: '{"command": "ls' } }] })), data(chunk({ tool_calls: [{ index: 0, function: { arguments: ' -la"}' } }] })),
  data(chunk({}, { finish_reason: "tool_calls" })),
  data({ ...chunk({}), choices: [], usage: { prompt_tokens: 4312, completion_tokens: 40, total_tokens: 4352, prompt_tokens_details: { cached_tokens: 4000 } } }),
  "data: [DONE]\n\n",
];
const KINDS = {
  anthropic: { turn: anthropicTurn, whole: { ...head, content: [{ type: "text", text: ANSWER }], stop_reason: "end_turn", usage: { input_tokens: 5, output_tokens: 2 } } },
  openai: { turn: chatTurn, whole: completion() },
};

let world;
before(async () => { world = await startWorld(startWorkerd); });
after(() => world.stop());

const send = (body, { path = "/v1/messages?beta=true", headers = {}, key = world.gateway.keys.inference } = {}) =>
  world.request("POST", path, { body, key, headers: { ...HEADERS, ...headers } });
const eventsOf = ({ text }) => sse(text).map(({ event, data: said }) => ({ event, ...parsed(said) }));

for (const [dialect, { turn, whole }] of Object.entries(KINDS)) {
  describe(`a provider of the dialect ${dialect}`, () => {
    let models = 0;
    before(() => world.provider(`claude-${dialect}`, { dialect }));
    const model = (...behaviours) => world.model(behaviours, { name: `claude-${dialect}-${++models}`, providers: behaviours.map(() => `claude-${dialect}`) });

    test("a turn in a stream: thoughts, words, a call", async () => {
      const name = await model(streams(turn));
      const answer = await send(ask(name));
      assert.equal(answer.status, 200, answer.text);
      assert.match(answer.headers.get("content-type"), /^text\/event-stream/);
      const events = eventsOf(answer);
      assert.ok(events.every(({ event, type }) => event === type), answer.text);
      assert.equal(events[0].type, "message_start");
      assert.deepEqual(events.slice(-2).map(({ type }) => type), ["message_delta", "message_stop"]);
      const blocks = events.filter(({ type }) => type === "content_block_start");
      assert.deepEqual(blocks.map(({ index, content_block: { type } }) => [index, type]), [[0, "thinking"], [1, "text"], [2, "tool_use"]]);
      const pieces = (index, key) => events.filter((event) => event.type === "content_block_delta" && event.index === index).map(({ delta }) => delta[key] ?? "").join("");
      assert.deepEqual([pieces(0, "thinking"), pieces(1, "text"), JSON.parse(pieces(2, "partial_json"))], ["A list is wanted.", ANSWER, { command: "ls -la" }]);
      assert.deepEqual([blocks[2].content_block.name, blocks[2].content_block.input], ["Bash", {}]);
      const end = events.at(-2);
      assert.equal(end.delta.stop_reason, "tool_use");
      const { cache_read_input_tokens: read, output_tokens: written } = { ...events[0].message.usage, ...end.usage };
      assert.deepEqual([read, written], [4000, 40]);
    });

    test("the provider is asked the same", async () => {
      const name = await model(streams(turn));
      const request = ask(name);
      await send(request);
      const [{ body, headers, path }] = world.received(name);
      if (dialect === "anthropic") {
        assert.match(path, /^\/v1\/messages/);
        assert.equal(headers["anthropic-beta"], BETAS);
        assert.equal(headers["anthropic-version"], "2023-06-01");
        assert.deepEqual({ ...body, model: request.model }, request);
        return;
      }
      assert.deepEqual(body.messages.map(({ role }) => role), ["system", "user"]);
      assert.deepEqual(body.tools.map(({ function: { name: tool, parameters } }) => [tool, parameters.required]), [["Bash", ["command"]], ["Read", ["file_path"]]]);
      assert.equal(body.stream, true);
    });

    test("the next turn brings the tool's result and the thoughts back", async () => {
      const name = await model(streams(turn));
      const first = ask(name);
      await send(ask(name, {
        messages: [
          ...first.messages,
          { role: "assistant", content: [{ type: "thinking", thinking: "A list is wanted.", signature: SIGNATURE }, { type: "text", text: ANSWER }, { type: "tool_use", id: "toolu_01", name: "Bash", input: { command: "ls -la" } }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_01", content: [{ type: "text", text: "a\nb" }], is_error: false, cache_control: CACHED }, { type: "text", text: "Go on." }] },
        ],
      }));
      const [{ body }] = world.received(name);
      if (dialect === "anthropic") {
        assert.equal(body.messages[1].content[0].signature, SIGNATURE);
        assert.equal(body.messages[2].content[0].tool_use_id, "toolu_01");
        return;
      }
      const [, , assistant, result, user] = body.messages;
      assert.deepEqual(assistant.tool_calls.map(({ id, function: { name: tool, arguments: input } }) => [id, tool, JSON.parse(input)]), [["toolu_01", "Bash", { command: "ls -la" }]]);
      assert.deepEqual([result.role, result.tool_call_id, user.role], ["tool", "toolu_01", "user"]);
      assert.match(JSON.stringify(result.content), /a\\nb/);
      assert.ok(!JSON.stringify(body).includes(SIGNATURE), "a signature goes back to its maker alone");
    });

    test("a whole answer", async () => {
      const name = await model(answers(whole));
      const { thinking, context_management, ...request } = ask(name, { stream: false, max_tokens: 512 });
      const { status, body, text } = await send(request);
      assert.equal(status, 200, text);
      assert.deepEqual([body.type, body.role, body.stop_reason], ["message", "assistant", "end_turn"]);
      assert.match(body.content.map((block) => block.text).join(""), new RegExp(ANSWER));
    });

    test("an overloaded provider, a rate limit, a bad request: errors in Anthropic's envelope", async () => {
      for (const [behaviour, status, type] of [[fails(529), 503, "overloaded_error"], [fails(429, { "retry-after": "7" }), 429, "rate_limit_error"], [fails(400), 400, "invalid_request_error"]]) {
        const answer = await send(ask(await model(behaviour)));
        assert.deepEqual([answer.body.type, answer.body.error.type], ["error", type], answer.text);
        assert.ok(answer.status === status || status === 503 && answer.status === 529, answer.text);
        if (status === 429) assert.equal(answer.headers.get("retry-after"), "7");
      }
    });

    test("a stream that breaks ends in an error event", async () => {
      const broken = streams([...turn.slice(0, 5), reset]);
      const events = eventsOf(await send(ask(await model(broken))));
      assert.equal(events[0].type, "message_start");
      const last = events.at(-1);
      assert.deepEqual([last.type, typeof last.error?.type, typeof last.error?.message], ["error", "string", "string"]);
      assert.ok(!events.some(({ type }) => type === "message_stop"));
    });
  });
}

test("tokens are counted by the provider that can, and told as Anthropic tells them", async () => {
  const name = await world.model([answers({ input_tokens: 4321 })], { name: "claude-count", providers: ["claude-anthropic"] });
  const { max_tokens, stream, temperature, metadata, ...request } = ask(name);
  const answer = await send(request, { path: "/v1/messages/count_tokens?beta=true" });
  assert.deepEqual([answer.status, answer.body], [200, { input_tokens: 4321 }], answer.text);
  assert.match(world.received(name)[0].path, /\/messages\/count_tokens/);
});

test("a key that is none, a model that is none", async () => {
  const wrong = await send(ask("nobody/nothing"), { key: "sk-ant-nonsense" });
  assert.deepEqual([wrong.status, wrong.body.type, wrong.body.error.type], [401, "error", "authentication_error"]);
  const unknown = await send(ask("nobody/nothing"));
  assert.ok([400, 404].includes(unknown.status), unknown.text);
  assert.deepEqual([unknown.body.type, typeof unknown.body.error.message], ["error", "string"]);
});

test("the key may come as x-api-key", async () => {
  const name = await world.model([streams(anthropicTurn)], { name: "claude-key", providers: ["claude-anthropic"] });
  const answer = await world.request("POST", "/v1/messages", { body: ask(name), headers: { ...HEADERS, "x-api-key": world.gateway.keys.inference } });
  assert.equal(answer.status, 200, answer.text);
});
