// What the fuzz targets begin with: small inputs of every format, written by hand, each as rich in kinds of content as it
// can be. The first letters choose (see each target): the letter with the number of what is wanted.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes the seeds of a target into its corpus. */
export function seed(target, folder) {
  const inputs = seeds[target] ?? [];
  inputs.forEach((input, at) => writeFileSync(join(folder, `seed-${String(at).padStart(3, "0")}`), input));
}

// A letter that gives `n` modulo `of`, whatever that is.
const letter = (n, of) => String.fromCharCode(of * Math.ceil(64 / of) + n);
const line = (value) => JSON.stringify(value);
const sse = (events, name = (event) => event.type) =>
  events.map((event) => (typeof event === "string" ? `data: ${event}\n\n` : `${name(event) ? `event: ${name(event)}\n` : ""}data: ${line(event)}\n\n`)).join("");

const image = "data:image/png;base64,iVBORw0KGgo=";
const schema = {
  type: "object", properties: { place: { type: "string", description: "where", enum: ["here", "there"] }, n: { anyOf: [{ type: "integer", minimum: 0 }, { type: "null" }] }, list: { type: "array", items: { $ref: "#/$defs/x" } } },
  required: ["place"], additionalProperties: false, $defs: { x: { type: "object", properties: {} } },
};
const head = { model: "a/b", models: ["c/d"], provider: { order: ["p"] }, user: "u", session_id: "s", tags: ["t"] };

const chat = {
  ...head, stream: true, stream_options: { include_usage: true }, temperature: 0.5, top_p: 0.9, top_k: 4, n: 1, stop: ["x"], seed: 3, max_completion_tokens: 20,
  frequency_penalty: 0.1, presence_penalty: 0.1, logit_bias: { 5: 1 }, logprobs: true, top_logprobs: 2, service_tier: "auto", parallel_tool_calls: false,
  reasoning: { effort: "high" }, reasoning_effort: "low", metadata: { a: "b" }, store: false, verbosity: "low", prediction: { type: "content", content: "x" },
  modalities: ["text", "audio"], audio: { voice: "v", format: "wav" }, web_search_options: {},
  response_format: { type: "json_schema", json_schema: { name: "s", strict: true, schema } },
  tools: [{ type: "function", function: { name: "f", description: "d", parameters: schema, strict: true }, cache_control: { type: "ephemeral" } }],
  tool_choice: { type: "function", function: { name: "f" } },
  messages: [
    { role: "system", content: [{ type: "text", text: "s", cache_control: { type: "ephemeral", ttl: "1h" } }] },
    { role: "developer", content: "d", name: "n" },
    { role: "user", content: [{ type: "text", text: "hi" }, { type: "image_url", image_url: { url: image, detail: "low" } }, { type: "image_url", image_url: { url: "https://x.example/a.png" } },
      { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }, { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,JVBERi0=" } }, { type: "video_url", video_url: { url: "https://x.example/v.mp4" } }] },
    { role: "assistant", content: "a", refusal: null, reasoning: "r", reasoning_details: [{ type: "reasoning.text", text: "r", signature: "c2ln", format: "anthropic-claude-v1", index: 0 }, { type: "reasoning.encrypted", data: "ZW5j", format: "openai-responses-v1", id: "rs_1" }],
      tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{\"place\":\"here\"}" } }, { id: "c2", type: "function", function: { name: "f", arguments: "" } }] },
    { role: "tool", tool_call_id: "c1", content: [{ type: "text", text: "t" }] }, { role: "tool", tool_call_id: "c2", content: "t" },
    { role: "user", content: "and?" },
  ],
};
const completions = { ...head, prompt: ["once", "twice"], suffix: "end", echo: true, best_of: 2, n: 2, logprobs: 2, max_tokens: 5, stop: "x", temperature: 0 };
const responses = {
  ...head, instructions: "s", max_output_tokens: 20, temperature: 1, top_p: 1, store: false, include: ["reasoning.encrypted_content"], reasoning: { effort: "high", summary: "auto" }, metadata: { a: "b" },
  text: { format: { type: "json_schema", name: "s", schema, strict: true }, verbosity: "low" }, parallel_tool_calls: true, tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "f" }] },
  tools: [{ type: "function", name: "f", description: "d", parameters: schema, strict: false }, { type: "web_search", user_location: { type: "approximate", country: "DE" } }, { type: "custom", name: "c", format: { type: "text" } }],
  input: [
    { role: "developer", content: "d" }, { type: "message", role: "user", content: [{ type: "input_text", text: "hi" }, { type: "input_image", image_url: image, detail: "auto" }, { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,JVBERi0=" }, { type: "input_file", file_url: "https://x.example/a.pdf" }] },
    { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "r" }], encrypted_content: "ZW5j" },
    { type: "message", id: "msg_1", role: "assistant", status: "completed", content: [{ type: "output_text", text: "a", annotations: [{ type: "url_citation", start_index: 0, end_index: 1, url: "https://x.example", title: "t" }] }, { type: "refusal", refusal: "no" }] },
    { type: "function_call", call_id: "c1", name: "f", arguments: "{}" }, { type: "function_call_output", call_id: "c1", output: [{ type: "input_text", text: "t" }] },
    { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search", query: "q" } }, { role: "user", content: "and?" },
  ],
};
const messages = {
  ...head, max_tokens: 2048, system: [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }], stop_sequences: ["x"], temperature: 1, top_k: 3, metadata: { user_id: "u" }, stream: true,
  thinking: { type: "enabled", budget_tokens: 1024 }, service_tier: "auto", output_config: { effort: "low", format: { type: "json_schema", schema } },
  tools: [{ name: "f", description: "d", input_schema: schema, cache_control: { type: "ephemeral", ttl: "1h" } }, { type: "web_search_20250305", name: "web_search", max_uses: 2 }, { type: "bash_20250124", name: "bash" }],
  tool_choice: { type: "tool", name: "f", disable_parallel_tool_use: true },
  messages: [
    { role: "user", content: [{ type: "text", text: "hi" }, { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } }, { type: "image", source: { type: "url", url: "https://x.example/a.png" } },
      { type: "document", source: { type: "text", media_type: "text/plain", data: "doc" }, title: "t", citations: { enabled: true } }, { type: "document", source: { type: "base64", media_type: "application/pdf", data: "JVBERi0=" } }] },
    { role: "assistant", content: [{ type: "thinking", thinking: "r", signature: "c2ln" }, { type: "redacted_thinking", data: "ZW5j" }, { type: "text", text: "a", citations: [{ type: "char_location", cited_text: "d", document_index: 0, document_title: "t", start_char_index: 0, end_char_index: 1 }] },
      { type: "tool_use", id: "c1", name: "f", input: { place: "here" } }, { type: "server_tool_use", id: "s1", name: "web_search", input: { query: "q" } }, { type: "web_search_tool_result", tool_use_id: "s1", content: [{ type: "web_search_result", url: "https://x.example", title: "t", encrypted_content: "e" }] }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "c1", is_error: true, content: [{ type: "text", text: "t" }, { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } }] }] },
  ],
};
const generate = {
  models: ["c/d"], systemInstruction: { parts: [{ text: "s" }] }, safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_NONE" }], cachedContent: "cachedContents/x",
  generationConfig: { temperature: 1, topP: 1, topK: 4, candidateCount: 1, maxOutputTokens: 20, stopSequences: ["x"], seed: 3, responseMimeType: "application/json", responseSchema: { type: "OBJECT", properties: { a: { type: "STRING", nullable: true } } }, responseLogprobs: true, logprobs: 2, responseModalities: ["TEXT"], thinkingConfig: { thinkingBudget: 100, includeThoughts: true } },
  tools: [{ functionDeclarations: [{ name: "f", description: "d", parameters: { type: "OBJECT", properties: { place: { type: "STRING" } } } }, { name: "g", parametersJsonSchema: schema }] }, { googleSearch: {} }, { codeExecution: {} }],
  toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["f"] } },
  contents: [
    { role: "user", parts: [{ text: "hi" }, { inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" } }, { fileData: { mimeType: "video/mp4", fileUri: "https://www.youtube.com/watch?v=x" }, videoMetadata: { startOffset: "1s" } }] },
    { role: "model", parts: [{ text: "r", thought: true, thoughtSignature: "c2ln" }, { functionCall: { id: "c1", name: "f", args: { place: "here" } }, thoughtSignature: "c2ln" }, { executableCode: { language: "PYTHON", code: "1" } }, { codeExecutionResult: { outcome: "OUTCOME_OK", output: "1" } }] },
    { role: "user", parts: [{ functionResponse: { id: "c1", name: "f", response: { result: "t" } } }] },
  ],
};
const form = [
  ["model", "a/b"], ["language", "de"], ["timestamp_granularities[]", "word"], ["response_format", "verbose_json"],
].map(([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`).join("")
  + '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF....WAVE\r\n--b--\r\n';

// In the order of ROUTES (fuzz/src/world.rs).
const requests = [
  chat, completions, responses, messages, generate, generate, messages, { generateContentRequest: { model: "models/x", ...generate } },
  { ...head, input: ["a", [1, 2]], encoding_format: "base64", dimensions: 8, input_type: "search_query" },
  { content: { parts: [{ text: "a" }] }, taskType: "RETRIEVAL_QUERY", outputDimensionality: 8 },
  { requests: [{ model: "models/x", content: { parts: [{ text: "a" }] } }] },
  { ...head, query: "q", documents: ["a", { text: "b" }], top_n: 1, return_documents: true },
  { ...head, input: [{ type: "text", text: "a" }, { type: "image_url", image_url: { url: image } }] },
  { ...head, prompt: "p", n: 1, size: "1024x1024", quality: "high", response_format: "b64_json", background: "auto" },
  { ...head, input: "say", voice: "v", response_format: "mp3", speed: 1.5, instructions: "i" },
  form,
];

const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13, prompt_tokens_details: { cached_tokens: 3, audio_tokens: 0 }, completion_tokens_details: { reasoning_tokens: 2 }, cost: 0.001 };
const logprobs = { content: [{ token: "a", logprob: -0.1, bytes: [97], top_logprobs: [{ token: "a", logprob: -0.1, bytes: [97] }] }], refusal: null };
const call = { index: 0, id: "c1", type: "function", function: { name: "f", arguments: "{\"place\":\"here\"}" } };
const annotation = { type: "url_citation", url_citation: { start_index: 0, end_index: 1, url: "https://x.example", title: "t" } };
const messageUsage = { input_tokens: 9, output_tokens: 4, cache_read_input_tokens: 3, cache_creation_input_tokens: 2, cache_creation: { ephemeral_5m_input_tokens: 1, ephemeral_1h_input_tokens: 1 }, server_tool_use: { web_search_requests: 1 }, service_tier: "standard" };
const responsesUsage = { input_tokens: 9, output_tokens: 4, total_tokens: 13, input_tokens_details: { cached_tokens: 3 }, output_tokens_details: { reasoning_tokens: 2 } };
const items = [
  { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "r" }], encrypted_content: "ZW5j" },
  { type: "message", id: "msg_1", role: "assistant", status: "completed", content: [{ type: "output_text", text: "hello", annotations: [{ type: "url_citation", start_index: 0, end_index: 1, url: "https://x.example", title: "t" }], logprobs: [] }, { type: "refusal", refusal: "no" }] },
  { type: "function_call", id: "fc_1", call_id: "c1", name: "f", arguments: "{}", status: "completed" },
  { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search", query: "q" } },
];
const response = { id: "resp_1", object: "response", created_at: 1, status: "completed", model: "m", output: items, usage: responsesUsage, incomplete_details: null, error: null, service_tier: "default" };
const candidate = { content: { role: "model", parts: [{ text: "r", thought: true }, { text: "hello", thoughtSignature: "c2ln" }, { functionCall: { name: "f", args: { place: "here" } } }, { inlineData: { mimeType: "image/png", data: "AAAA" } }] }, finishReason: "STOP", index: 0, safetyRatings: [], groundingMetadata: { webSearchQueries: ["q"], groundingChunks: [{ web: { uri: "https://x.example", title: "t" } }], groundingSupports: [{ segment: { startIndex: 0, endIndex: 5, text: "hello" }, groundingChunkIndices: [0] }] }, logprobsResult: { chosenCandidates: [{ token: "a", logProbability: -0.1 }], topCandidates: [{ candidates: [{ token: "a", logProbability: -0.1 }] }] } };
const generated = { candidates: [candidate], usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 4, thoughtsTokenCount: 2, totalTokenCount: 15, cachedContentTokenCount: 3, promptTokensDetails: [{ modality: "TEXT", tokenCount: 9 }] }, modelVersion: "m", responseId: "r1" };
const converse = { output: { message: { role: "assistant", content: [{ reasoningContent: { reasoningText: { text: "r", signature: "c2ln" } } }, { text: "hello" }, { toolUse: { toolUseId: "c1", name: "f", input: { place: "here" } } }, { citationsContent: { content: [{ text: "x" }], citations: [{ title: "t", location: { web: { url: "https://x.example" } } }] } }] } }, stopReason: "tool_use", usage: { inputTokens: 9, outputTokens: 4, totalTokens: 13, cacheReadInputTokens: 3, cacheWriteInputTokens: 1 }, metrics: { latencyMs: 5 } };
const cohere = { id: "x", finish_reason: "TOOL_CALL", message: { role: "assistant", tool_plan: "p", content: [{ type: "thinking", thinking: "r" }, { type: "text", text: "hello" }], tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }], citations: [{ start: 0, end: 5, text: "hello", sources: [{ type: "document", id: "d", document: { title: "t", url: "https://x.example" } }], type: "TEXT_CONTENT" }] }, usage: { billed_units: { input_tokens: 9, output_tokens: 4 }, tokens: { input_tokens: 9, output_tokens: 4 } }, logprobs: [{ text: "a", token_ids: [1], logprobs: [-0.1] }] };
const ollama = { model: "m", created_at: "2026-01-01T00:00:00.5Z", message: { role: "assistant", content: "hello", thinking: "r", tool_calls: [{ id: "c1", function: { index: 0, name: "f", arguments: { place: "here" } } }] }, done: true, done_reason: "stop", total_duration: 5, prompt_eval_count: 9, eval_count: 4, logprobs: [{ token: "a", logprob: -0.1, bytes: [97], top_logprobs: [] }] };
const error = { error: { message: "m", type: "invalid_request_error", code: "c", param: "p", status: "INVALID_ARGUMENT", details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "3s" }] }, type: "error", message: "m" };

// In the order of PROVIDERS (fuzz/src/world.rs).
const answers = [
  { id: "x", object: "chat.completion", created: 1, model: "m", service_tier: "default", choices: [{ index: 0, message: { role: "assistant", content: "hello", refusal: null, reasoning: "r", reasoning_details: chat.messages[3].reasoning_details, tool_calls: [call], annotations: [annotation], audio: { id: "au", data: "AAAA", transcript: "t", expires_at: 1 }, images: [{ type: "image_url", image_url: { url: image } }] }, logprobs, finish_reason: "tool_calls", native_finish_reason: "x" }], usage },
  { id: "x", object: "text_completion", created: 1, model: "m", choices: [{ index: 0, text: "hello", logprobs: { tokens: ["a"], token_logprobs: [-0.1], top_logprobs: [{ a: -0.1 }], text_offset: [0] }, finish_reason: "length" }], usage },
  response,
  { id: "x", type: "message", role: "assistant", model: "m", content: messages.messages[1].content, stop_reason: "tool_use", stop_sequence: null, usage: messageUsage },
  generated, converse, cohere, ollama,
];

const chunk = (choice, more = {}) => ({ id: "x", object: "chat.completion.chunk", created: 1, model: "m", choices: choice ? [{ index: 0, finish_reason: null, ...choice }] : [], ...more });
const block = (index, content_block, ...deltas) => [{ type: "content_block_start", index, content_block }, ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })), { type: "content_block_stop", index }];
const converseLines = [
  ["messageStart", { role: "assistant" }], ["contentBlockDelta", { contentBlockIndex: 0, delta: { reasoningContent: { text: "r" } } }], ["contentBlockDelta", { contentBlockIndex: 0, delta: { reasoningContent: { signature: "c2ln" } } }], ["contentBlockStop", { contentBlockIndex: 0 }],
  ["contentBlockDelta", { contentBlockIndex: 1, delta: { text: "hello" } }], ["contentBlockStop", { contentBlockIndex: 1 }],
  ["contentBlockStart", { contentBlockIndex: 2, start: { toolUse: { toolUseId: "c1", name: "f" } } }], ["contentBlockDelta", { contentBlockIndex: 2, delta: { toolUse: { input: "{\"place\":\"here\"}" } } }], ["contentBlockStop", { contentBlockIndex: 2 }],
  ["messageStop", { stopReason: "tool_use" }], ["metadata", { usage: converse.usage, metrics: { latencyMs: 5 } }],
];
const streams = [
  sse([chunk({ delta: { role: "assistant", content: "", refusal: null } }), chunk({ delta: { reasoning: "r", reasoning_details: [{ type: "reasoning.text", text: "r", index: 0 }] } }), chunk({ delta: { content: "hello" }, logprobs }), chunk({ delta: { tool_calls: [{ ...call, function: { name: "f", arguments: "" } }] } }), chunk({ delta: { tool_calls: [{ index: 0, function: { arguments: "{}" } }] } }), chunk({ delta: { annotations: [annotation] } }), chunk({ delta: {}, finish_reason: "tool_calls" }), chunk(null, { usage }), "[DONE]"]),
  sse([{ id: "x", object: "text_completion", created: 1, model: "m", choices: [{ index: 0, text: "hello", logprobs: null, finish_reason: null }] }, { id: "x", object: "text_completion", created: 1, model: "m", choices: [{ index: 0, text: "", finish_reason: "stop" }], usage }, "[DONE]"]),
  sse([{ type: "response.created", response: { ...response, status: "in_progress", output: [], usage: null } }, ...items.flatMap((item, at) => [
    { type: "response.output_item.added", output_index: at, item: { ...item, content: item.content && [], summary: item.summary && [], arguments: item.arguments && "" } },
    ...(item.type === "reasoning" ? [{ type: "response.reasoning_summary_part.added", item_id: item.id, output_index: at, summary_index: 0, part: { type: "summary_text", text: "" } }, { type: "response.reasoning_summary_text.delta", item_id: item.id, output_index: at, summary_index: 0, delta: "r" }] : []),
    ...(item.type === "message" ? [{ type: "response.content_part.added", item_id: item.id, output_index: at, content_index: 0, part: { type: "output_text", text: "", annotations: [] } }, { type: "response.output_text.delta", item_id: item.id, output_index: at, content_index: 0, delta: "hello" }, { type: "response.output_text.annotation.added", item_id: item.id, output_index: at, content_index: 0, annotation_index: 0, annotation: item.content[0].annotations[0] }, { type: "response.refusal.delta", item_id: item.id, output_index: at, content_index: 1, delta: "no" }] : []),
    ...(item.type === "function_call" ? [{ type: "response.function_call_arguments.delta", item_id: item.id, output_index: at, delta: "{}" }] : []),
    { type: "response.output_item.done", output_index: at, item },
  ]), { type: "response.completed", response }]),
  sse([{ type: "message_start", message: { id: "x", type: "message", role: "assistant", model: "m", content: [], stop_reason: null, usage: messageUsage } }, { type: "ping" },
    ...block(0, { type: "thinking", thinking: "", signature: "" }, { type: "thinking_delta", thinking: "r" }, { type: "signature_delta", signature: "c2ln" }), ...block(1, { type: "redacted_thinking", data: "ZW5j" }),
    ...block(2, { type: "text", text: "" }, { type: "text_delta", text: "hello" }, { type: "citations_delta", citation: messages.messages[1].content[2].citations[0] }), ...block(3, { type: "tool_use", id: "c1", name: "f", input: {} }, { type: "input_json_delta", partial_json: "{}" }),
    ...block(4, { type: "server_tool_use", id: "s1", name: "web_search", input: {} }, { type: "input_json_delta", partial_json: "{\"query\":\"q\"}" }), ...block(5, messages.messages[1].content[5]),
    { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 4 } }, { type: "message_stop" }]),
  sse([{ ...generated, candidates: [{ content: { role: "model", parts: [{ text: "hel" }] }, index: 0 }] }, generated]),
  converseLines.map(([name, value]) => `${name} ${line(value)}`).join("\n"),
  sse([{ type: "message-start", id: "x", delta: { message: { role: "assistant", content: [], tool_plan: "", tool_calls: [], citations: [] } } }, { type: "content-start", index: 0, delta: { message: { content: { type: "text", text: "" } } } }, { type: "content-delta", index: 0, delta: { message: { content: { text: "hello" } } } }, { type: "citation-start", index: 0, delta: { message: { citations: cohere.message.citations[0] } } }, { type: "citation-end", index: 0 }, { type: "content-end", index: 0 },
    { type: "tool-plan-delta", delta: { message: { tool_plan: "p" } } }, { type: "tool-call-start", index: 0, delta: { message: { tool_calls: { id: "c1", type: "function", function: { name: "f", arguments: "" } } } } }, { type: "tool-call-delta", index: 0, delta: { message: { tool_calls: { function: { arguments: "{}" } } } } }, { type: "tool-call-end", index: 0 }, { type: "message-end", delta: { finish_reason: "COMPLETE", usage: cohere.usage } }]),
  [{ ...ollama, done: false, message: { role: "assistant", content: "hel", thinking: "r" } }, ollama].map(line).join("\n") + "\n",
];
const errorStreams = [sse([error]), sse([{ type: "error", error: { type: "overloaded_error", message: "m" } }]), `internalServerException ${line({ message: "m" })}`, `${line(error)}\n`];

const bigEndian = (number) => [number >>> 24, number >>> 16, number >>> 8, number].map((byte) => byte & 255);
// Without checksums: the target puts them right.
function awsMessage(name, payload) {
  const header = (key, value) => [key.length, ...Buffer.from(key), 7, 0, value.length, ...Buffer.from(value)];
  const headers = [...header(":event-type", name), ...header(":message-type", "event")];
  return Buffer.from([...bigEndian(16 + headers.length + payload.length), ...bigEndian(headers.length), 0, 0, 0, 0, ...headers, ...Buffer.from(payload), 0, 0, 0, 0]);
}

const all = [...requests.filter((body) => typeof body !== "string"), ...answers];
const seeds = {
  sse: [...streams, ": comment\r\n\r\nevent: x\r\ndata:a\r\ndata: b\r\n\r\n", "\uFEFFdata: {}\n\n"].map((text) => `a${text}`),
  event_stream: [Buffer.concat([Buffer.from("a"), ...converseLines.map(([name, value]) => awsMessage(name, line(value)))])],
  json_frames: [`a${streams.at(-1)}`, `a${line(all)}`, `a[${line(generated)}\n,${line(error)}]\r\n`],
  json: all.map((value) => `a${line(value)}`).concat(['a{"a":"\\ud800\\u00e9\\"","b":1e999,"c":[[{}],-0.5e-3],"a":null}']),
  multipart: [`multipart/form-data; boundary=b\n${form}`, `multipart/form-data; boundary="b"; x=y\npreamble\r\n--b\r\nContent-Disposition: form-data; name="a%22"\r\n\r\n\r\n--b--\r\nepilogue`],
  requests: requests.flatMap((body, at) => ["m", "p"].map((quirks) => `${letter(at, 16)}${letter(at, 6)}${quirks}${typeof body === "string" ? body : line(body)}`)),
  answers: answers.flatMap((body, at) => [body, error].map((one) => letter(at, 8) + line(one))),
  streams: streams.flatMap((text, from) => [0, 1, 2, 3, 4].map((to) => `${letter(from, 8)}${letter(to, 5)}${letter(0, 6)}${String.fromCharCode(97 + to)}${text}`))
    .concat(errorStreams.flatMap((text) => [0, 3, 5, 7].map((from) => `${letter(from, 8)}${letter(from, 5)}${letter(from, 6)}a${text}`))),
  slug: ["a/b:floor", "a/b:free:nitro", "/v1beta/models/a/b:floor:streamGenerateContent?alt=sse", "/api/v1/chat/completions", "a/b:"],
};
