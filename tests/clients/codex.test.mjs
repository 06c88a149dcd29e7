// Requests as Codex CLI makes them: Responses without storing, encrypted reasoning handed back, tools with
// JSON arguments and with free text, streams. Against a provider of Responses and one of OpenAI's chat.
// The form: platform.openai.com/docs/api-reference/responses and the public repository openai/codex
// (November 2026).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { chunk, data, parsed } from "../support/chat.mjs";
import { ANSWER, PROMPT } from "../support/common.mjs";
import { fails, streams } from "../support/fake-provider.mjs";
import { sse } from "../support/formats/frames.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const HEADERS = { originator: "codex_cli_rs", "user-agent": "codex_cli_rs/0.98.0", session_id: "0b9d9d5e-1111-4222-8333-444455556666", accept: "text/event-stream" };
const SHELL = { type: "function", name: "shell", description: "Runs a command.", strict: false, parameters: { type: "object", properties: { command: { type: "array", items: { type: "string" } }, workdir: { type: "string" } }, required: ["command"], additionalProperties: false } };
const PATCH = { type: "custom", name: "apply_patch", description: "Changes files.", format: { type: "grammar", syntax: "lark", definition: 'start: "*** Begin Patch" /.+/ "*** End Patch"' } };
const said = (role, text) => ({ type: "message", role, content: [{ type: role === "assistant" ? "output_text" : "input_text", text }] });
const ask = (model, more = {}) => ({
  model, instructions: "You are an agent at a command line.",
  input: [said("developer", "<permissions>read only</permissions>"), said("user", "<environment_context><cwd>/w</cwd></environment_context>"), said("user", `List the files. ${PROMPT}`)],
  tools: [SHELL], tool_choice: "auto", parallel_tool_calls: false,
  reasoning: { effort: "medium", summary: "auto" }, store: false, stream: true, include: ["reasoning.encrypted_content"],
  prompt_cache_key: "0b9d9d5e-1111-4222-8333-444455556666", text: { verbosity: "low" },
  ...more,
});

const ENCRYPTED = "gAAAAABencrypted-thought";
const reasoning = { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: "A list is wanted." }], encrypted_content: ENCRYPTED };
const call = { id: "fc_1", type: "function_call", status: "completed", call_id: "call_1", name: "shell", arguments: '{"command":["ls"]}' };
const response = (status, output, usage = null) => ({ id: "resp_1", object: "response", created_at: 1_700_000_000, model: "gpt-x", status, error: null, incomplete_details: null, output, usage, parallel_tool_calls: false, tool_choice: "auto", tools: [], store: false });
const USAGE = { input_tokens: 100, input_tokens_details: { cached_tokens: 80 }, output_tokens: 30, output_tokens_details: { reasoning_tokens: 10 }, total_tokens: 130 };
const numbered = (events) => events.map((event, n) => `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: n })}\n\n`);
const responsesTurn = numbered([
  { type: "response.created", response: response("in_progress", []) },
  { type: "response.output_item.added", output_index: 0, item: { ...reasoning, summary: [], encrypted_content: "" } },
  { type: "response.reasoning_summary_part.added", item_id: "rs_1", output_index: 0, summary_index: 0, part: { type: "summary_text", text: "" } },
  { type: "response.reasoning_summary_text.delta", item_id: "rs_1", output_index: 0, summary_index: 0, delta: "A list is wanted." },
  { type: "response.reasoning_summary_text.done", item_id: "rs_1", output_index: 0, summary_index: 0, text: "A list is wanted." },
  { type: "response.reasoning_summary_part.done", item_id: "rs_1", output_index: 0, summary_index: 0, part: { type: "summary_text", text: "A list is wanted." } },
  { type: "response.output_item.done", output_index: 0, item: reasoning },
  { type: "response.output_item.added", output_index: 1, item: { ...call, status: "in_progress", arguments: "" } },
  { type: "response.function_call_arguments.delta", item_id: "fc_1", output_index: 1, delta: '{"command":["ls"]}' },
  { type: "response.function_call_arguments.done", item_id: "fc_1", output_index: 1, arguments: '{"command":["ls"]}' },
  { type: "response.output_item.done", output_index: 1, item: call },
  { type: "response.completed", response: response("completed", [reasoning, call], USAGE) },
]);
const chatTurn = [
  data(chunk({ role: "assistant", content: "" })), data(chunk({ reasoning_content: "A list is wanted." })),
  data(chunk({ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "shell", arguments: "" } }] })),
  data(chunk({ tool_calls: [{ index: 0, function: { arguments: '{"command":["ls"]}' } }] })),
  data(chunk({}, { finish_reason: "tool_calls" })),
  data({ ...chunk({}), choices: [], usage: { prompt_tokens: 100, completion_tokens: 30, total_tokens: 130, prompt_tokens_details: { cached_tokens: 80 }, completion_tokens_details: { reasoning_tokens: 10 } } }),
  "data: [DONE]\n\n",
];
const PATCHED = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch";

let world;
before(async () => { world = await startWorld(startWorkerd); });
after(() => world.stop());

const send = (body) => world.request("POST", "/v1/responses", { body, key: world.gateway.keys.inference, headers: HEADERS });
const eventsOf = ({ text }) => sse(text).map(({ event, data: what }) => ({ event, ...parsed(what) }));

for (const [dialect, turn] of [["openai-responses", responsesTurn], ["openai", chatTurn]]) {
  describe(`a provider of the dialect ${dialect}`, () => {
    let models = 0;
    before(() => world.provider(`codex-${dialect}`, { dialect }));
    const model = (behaviour) => world.model([behaviour], { name: `codex-${dialect}-${++models}`, providers: [`codex-${dialect}`] });

    test("a turn: thoughts, then a call", async () => {
      const answer = await send(ask(await model(streams(turn))));
      assert.equal(answer.status, 200, answer.text);
      const events = eventsOf(answer);
      assert.ok(events.every(({ event, type }) => event === undefined || event === type), answer.text);
      assert.equal(events[0].type, "response.created");
      const numbers = events.map(({ sequence_number }) => sequence_number);
      assert.deepEqual(numbers, numbers.map((_, n) => n));
      const done = events.filter(({ type }) => type === "response.output_item.done").map(({ item }) => item);
      assert.deepEqual(done.map(({ type }) => type), ["reasoning", "function_call"]);
      assert.deepEqual([done[1].name, done[1].call_id, done[1].arguments], ["shell", "call_1", '{"command":["ls"]}']);
      const last = events.at(-1);
      assert.deepEqual([last.type, last.response.status], ["response.completed", "completed"]);
      const { usage } = last.response;
      assert.deepEqual([usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens, usage.output_tokens_details.reasoning_tokens, usage.total_tokens], [100, 80, 30, 10, 130]);
    });

    test("the next turn: encrypted thoughts go to who made them and nobody else", async () => {
      const name = await model(streams(turn));
      const { status, text } = await send(ask(name, { input: [...ask(name).input, { ...reasoning, id: undefined }, { ...call, id: undefined }, { type: "function_call_output", call_id: "call_1", output: "a\nb" }] }));
      assert.equal(status, 200, text);
      const [{ body, path }] = world.received(name);
      if (dialect === "openai-responses") {
        assert.match(path, /\/responses$/);
        assert.equal(body.input[3].encrypted_content, ENCRYPTED);
        assert.deepEqual([body.store, body.include, body.prompt_cache_key], [false, ["reasoning.encrypted_content"], "0b9d9d5e-1111-4222-8333-444455556666"]);
        return;
      }
      const [assistant, result] = body.messages.slice(-2);
      assert.deepEqual([assistant.tool_calls[0].id, assistant.tool_calls[0].function.name, result.role, result.tool_call_id], ["call_1", "shell", "tool", "call_1"]);
      assert.ok(!JSON.stringify(body).includes(ENCRYPTED));
    });

    test("a refused request: an error in OpenAI's envelope", async () => {
      const { status, body } = await send(ask(await model(fails(400))));
      assert.equal(status, 400);
      assert.equal(typeof body.error.message, "string");
    });
  });
}

test("a tool that takes free text", async () => {
  const item = { id: "ctc_1", type: "custom_tool_call", status: "completed", call_id: "call_2", name: "apply_patch", input: PATCHED };
  const turn = numbered([
    { type: "response.created", response: response("in_progress", []) },
    { type: "response.output_item.added", output_index: 0, item: { ...item, status: "in_progress", input: "" } },
    { type: "response.custom_tool_call_input.delta", item_id: "ctc_1", output_index: 0, delta: PATCHED },
    { type: "response.custom_tool_call_input.done", item_id: "ctc_1", output_index: 0, input: PATCHED },
    { type: "response.output_item.done", output_index: 0, item },
    { type: "response.completed", response: response("completed", [item], USAGE) },
  ]);
  const name = await world.model([streams(turn)], { name: "codex-custom", providers: ["codex-openai-responses"] });
  const events = eventsOf(await send(ask(name, { tools: [SHELL, PATCH] })));
  assert.deepEqual(world.received(name)[0].body.tools, [SHELL, PATCH]);
  const done = events.find(({ type }) => type === "response.output_item.done").item;
  assert.deepEqual([done.type, done.name, done.input], ["custom_tool_call", "apply_patch", PATCHED]);
});

test("a plain answer's words", async () => {
  const turn = [data(chunk({ role: "assistant", content: "" })), data(chunk({ content: ANSWER })), data(chunk({}, { finish_reason: "stop" })), "data: [DONE]\n\n"];
  const name = await world.model([streams(turn)], { name: "codex-words", providers: ["codex-openai"] });
  const events = eventsOf(await send(ask(name)));
  assert.equal(events.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta).join(""), ANSWER);
  assert.equal(events.at(-1).response.output.find(({ type }) => type === "message").content[0].text, ANSWER);
});
