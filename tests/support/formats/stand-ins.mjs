// Exchanges of our own in every format that providers speak, for machines without the corpus: an answer
// with a thought, words and a call, whole and as a stream, and a refused request.
const body = (name, dialect, answer, more = {}) => ({ name, provider: name.split("/")[0], dialect, stream: false, framing: null, features: [], request: { body: null }, response: { status: 200, headers: {}, body: answer }, ...more });
const stream = (name, dialect, framing, pieces) => ({ ...body(name, dialect), stream: true, framing, response: { status: 200, headers: {}, sse: pieces.join("") } });
const refused = (name, dialect, status, answer) => body(name, dialect, answer, { response: { status, headers: {}, body: answer } });
const data = (value) => `data: ${JSON.stringify(value)}\n\n`;
const named = (value) => `event: ${value.type}\n${data(value)}`;

const ARGUMENTS = '{"city":"Zürich","days":2}';

const chatUsage = { prompt_tokens: 20, completion_tokens: 12, total_tokens: 32, prompt_tokens_details: { cached_tokens: 4 }, completion_tokens_details: { reasoning_tokens: 5 } };
const chatCall = { id: "call_1", type: "function", function: { name: "weather", arguments: ARGUMENTS } };
const chatChunk = (delta, finish_reason = null) => data({ id: "c-1", object: "chat.completion.chunk", created: 1_700_000_000, model: "m", choices: [{ index: 0, delta, finish_reason }] });
const chat = [
  body("openai/stand-in-chat", "openai.chat", {
    id: "c-1", object: "chat.completion", created: 1_700_000_000, model: "m", usage: chatUsage,
    choices: [{ index: 0, finish_reason: "tool_calls", message: { role: "assistant", content: "I look.", reasoning_content: "Rain?", tool_calls: [chatCall] } }],
  }),
  stream("openai/stand-in-chat-stream", "openai.chat", "sse", [
    chatChunk({ role: "assistant", content: "" }), chatChunk({ reasoning_content: "Rain?" }), chatChunk({ content: "I " }), chatChunk({ content: "look." }),
    chatChunk({ tool_calls: [{ index: 0, ...chatCall, function: { name: "weather", arguments: "" } }] }),
    chatChunk({ tool_calls: [{ index: 0, function: { arguments: ARGUMENTS.slice(0, 9) } }] }), chatChunk({ tool_calls: [{ index: 0, function: { arguments: ARGUMENTS.slice(9) } }] }),
    chatChunk({}, "tool_calls"), data({ id: "c-1", object: "chat.completion.chunk", created: 1_700_000_000, model: "m", choices: [], usage: chatUsage }), "data: [DONE]\n\n",
  ]),
  refused("openai/stand-in-chat-error", "openai.chat", 429, { error: { message: "Rate limit reached.", type: "requests", param: null, code: "rate_limit_exceeded" } }),
];

const anthropicUsage = { input_tokens: 16, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 12 };
const anthropicHead = { id: "msg_1", type: "message", role: "assistant", model: "m" };
const anthropic = [
  body("anthropic/stand-in-messages", "anthropic.messages", {
    ...anthropicHead, stop_reason: "tool_use", stop_sequence: null, usage: anthropicUsage,
    content: [{ type: "thinking", thinking: "Rain?", signature: "c2ln" }, { type: "text", text: "I look." }, { type: "tool_use", id: "toolu_1", name: "weather", input: JSON.parse(ARGUMENTS) }],
  }),
  stream("anthropic/stand-in-messages-stream", "anthropic.messages", "sse", [
    { type: "message_start", message: { ...anthropicHead, content: [], stop_reason: null, stop_sequence: null, usage: { ...anthropicUsage, output_tokens: 1 } } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "ping" },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "I look." } },
    { type: "content_block_stop", index: 0 },
    { type: "content_block_start", index: 1, content_block: { type: "tool_use", id: "toolu_1", name: "weather", input: {} } },
    { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: ARGUMENTS.slice(0, 9) } },
    { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: ARGUMENTS.slice(9) } },
    { type: "content_block_stop", index: 1 },
    { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 12 } },
    { type: "message_stop" },
  ].map(named)),
  refused("anthropic/stand-in-messages-error", "anthropic.messages", 529, { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }),
];

const responsesUsage = { input_tokens: 20, input_tokens_details: { cached_tokens: 4 }, output_tokens: 12, output_tokens_details: { reasoning_tokens: 5 }, total_tokens: 32 };
const reasoning = { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: "Rain?" }] };
const call = { id: "fc_1", type: "function_call", status: "completed", call_id: "call_1", name: "weather", arguments: ARGUMENTS };
const response = (more) => ({ id: "resp_1", object: "response", created_at: 1_700_000_000, model: "m", error: null, incomplete_details: null, ...more });
const responses = [
  body("openai/stand-in-responses", "openai.responses", response({ status: "completed", output: [reasoning, call], usage: responsesUsage })),
  stream("openai/stand-in-responses-stream", "openai.responses", "sse", [
    { type: "response.created", sequence_number: 0, response: response({ status: "in_progress", output: [] }) },
    { type: "response.output_item.added", sequence_number: 1, output_index: 0, item: { ...call, status: "in_progress", arguments: "" } },
    { type: "response.function_call_arguments.delta", sequence_number: 2, item_id: "fc_1", output_index: 0, delta: ARGUMENTS },
    { type: "response.function_call_arguments.done", sequence_number: 3, item_id: "fc_1", output_index: 0, arguments: ARGUMENTS },
    { type: "response.output_item.done", sequence_number: 4, output_index: 0, item: call },
    { type: "response.completed", sequence_number: 5, response: response({ status: "completed", output: [call], usage: responsesUsage }) },
  ].map(named)),
];

const geminiParts = [{ text: "Rain?", thought: true }, { text: "I look." }, { functionCall: { name: "weather", args: JSON.parse(ARGUMENTS) } }];
const geminiUsage = { promptTokenCount: 20, candidatesTokenCount: 7, thoughtsTokenCount: 5, cachedContentTokenCount: 4, totalTokenCount: 32 };
const candidate = (parts, finishReason) => ({ candidates: [{ content: { parts, role: "model" }, index: 0, ...(finishReason && { finishReason }) }], usageMetadata: geminiUsage, modelVersion: "m", responseId: "r-1" });
const gemini = [
  body("google/stand-in-gemini", "gemini.generateContent", candidate(geminiParts, "STOP")),
  stream("google/stand-in-gemini-stream", "gemini.generateContent", "sse", geminiParts.map((part, n) => data(candidate([part], n === 2 ? "STOP" : undefined)))),
];

const bedrock = [body("bedrock/stand-in-converse", "bedrock.converse", {
  output: { message: { role: "assistant", content: [{ text: "I look." }, { toolUse: { toolUseId: "t-1", name: "weather", input: JSON.parse(ARGUMENTS) } }] } },
  stopReason: "tool_use", usage: { inputTokens: 20, outputTokens: 12, totalTokens: 32 }, metrics: { latencyMs: 1 },
})];

const cohere = [body("cohere/stand-in-chat", "cohere.chat.v2", {
  id: "1", finish_reason: "TOOL_CALL", message: { role: "assistant", tool_plan: "Rain?", tool_calls: [chatCall] },
  usage: { billed_units: { input_tokens: 20, output_tokens: 12 }, tokens: { input_tokens: 20, output_tokens: 12 } },
})];

const ollama = [stream("ollama/stand-in-chat", "ollama.chat", "ndjson", [
  { model: "m", created_at: "2026-11-01T00:00:00Z", message: { role: "assistant", content: "I look." }, done: false },
  { model: "m", created_at: "2026-11-01T00:00:00Z", message: { role: "assistant", content: "", tool_calls: [{ function: { name: "weather", arguments: JSON.parse(ARGUMENTS) } }] }, done: false },
  { model: "m", created_at: "2026-11-01T00:00:00Z", message: { role: "assistant", content: "" }, done: true, done_reason: "stop", prompt_eval_count: 20, eval_count: 12 },
].map((line) => `${JSON.stringify(line)}\n`))];

export const standIns = () => [...chat, ...anthropic, ...responses, ...gemini, ...bedrock, ...cohere, ...ollama];
