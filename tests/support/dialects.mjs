// What providers say in each dialect, made from the same words, and how each is to be asked.
//
//   row      (origin) of the provider's row; the credential is a bearer's but where it is another
//   path     (name, stream): where a model of that name is asked
//   shown    headers that show who asks
//   type     of a stream
//   begin, word, end   the pieces of a stream; a word is (text)
//   failure  the piece of an error in mid-stream, of the words FAILURE
//   whole    (text): a body; with `usage: null` it does not say what was used
//   error    (words): a body of an error
import { crc32 } from "node:zlib";
import { chunk, completion, data, USAGE } from "./chat.mjs";
import { CREDENTIAL } from "./common.mjs";

export const SECRET = `${CREDENTIAL}-dialects`;
export const FAILURE = "the model fell over";
const bearer = { authorization: `Bearer ${SECRET}` };
const named = (value) => `event: ${value.type}\n${data(value)}`;
const line = (value) => `${JSON.stringify(value)}\n`;

// --- OpenAI's chat, and the same at Azure's addresses --------------------------------------------

const chat = {
  shown: bearer,
  type: "text/event-stream",
  begin: [data(chunk({ role: "assistant", content: "" }))],
  word: (content) => data(chunk({ content })),
  end: [data(chunk({}, { finish_reason: "stop" })), data({ ...chunk({}), choices: [], usage: USAGE }), data("[DONE]")],
  failure: data({ error: { message: FAILURE, type: "server_error", code: 500 } }),
  whole: (content, { usage = USAGE } = {}) => completion({ content, usage }),
  error: (message) => ({ error: { message, type: "server_error", param: null, code: "fake" } }),
  counts: ["prompt_tokens", "completion_tokens"],
};
const openai = { ...chat, row: (origin) => ({ dialect: "openai", base_url: `${origin}/v1` }), path: () => "/v1/chat/completions" };
const azure = {
  ...chat,
  row: (origin) => ({ dialect: "azure-openai", base_url: origin, api_version: "2025-04-01-preview" }),
  path: (name) => `/openai/deployments/${name}/chat/completions?api-version=2025-04-01-preview`,
  shown: { "api-key": SECRET },
};

// --- Responses -----------------------------------------------------------------------------------

const responseUsage = { input_tokens: 11, input_tokens_details: { cached_tokens: 0 }, output_tokens: 7, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 18 };
const response = (more) => ({ id: "resp_1", object: "response", created_at: 1_700_000_000, model: "fake-2026", error: null, incomplete_details: null, ...more });
const part = (text) => ({ type: "output_text", text, annotations: [] });
const message = (status, content) => ({ id: "msg_1", type: "message", role: "assistant", status, content });
const responses = {
  row: (origin) => ({ dialect: "openai-responses", base_url: `${origin}/v1` }),
  path: () => "/v1/responses",
  shown: bearer,
  type: "text/event-stream",
  begin: [
    { type: "response.created", sequence_number: 0, response: response({ status: "in_progress", output: [] }) },
    { type: "response.output_item.added", sequence_number: 1, output_index: 0, item: message("in_progress", []) },
    { type: "response.content_part.added", sequence_number: 2, output_index: 0, item_id: "msg_1", content_index: 0, part: part("") },
  ].map(named),
  word: (delta) => named({ type: "response.output_text.delta", sequence_number: 3, output_index: 0, item_id: "msg_1", content_index: 0, delta }),
  end: [
    { type: "response.output_item.done", sequence_number: 4, output_index: 0, item: message("completed", [part("")]) },
    { type: "response.completed", sequence_number: 5, response: response({ status: "completed", output: [message("completed", [part("")])], usage: responseUsage }) },
  ].map(named),
  failure: named({ type: "response.failed", sequence_number: 6, response: response({ status: "failed", output: [], error: { code: "server_error", message: FAILURE } }) }),
  whole: (text, { usage = responseUsage } = {}) => response({ status: "completed", output: [message("completed", [part(text)])], usage }),
  error: chat.error,
  counts: ["input_tokens", "output_tokens"],
};

// --- Anthropic's Messages ------------------------------------------------------------------------

const messageHead = { id: "msg_1", type: "message", role: "assistant", model: "fake-2026" };
const anthropic = {
  row: (origin) => ({ dialect: "anthropic", base_url: `${origin}/v1` }),
  path: () => "/v1/messages",
  shown: { "x-api-key": SECRET, "anthropic-version": "2023-06-01" },
  type: "text/event-stream",
  begin: [
    { type: "message_start", message: { ...messageHead, content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 11, output_tokens: 1 } } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  ].map(named),
  word: (text) => named({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }),
  end: [
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 7 } },
    { type: "message_stop" },
  ].map(named),
  failure: named({ type: "error", error: { type: "api_error", message: FAILURE } }),
  whole: (text, { usage = { input_tokens: 11, output_tokens: 7 } } = {}) => ({ ...messageHead, content: [{ type: "text", text }], stop_reason: "end_turn", stop_sequence: null, ...(usage && { usage }) }),
  error: (words) => ({ type: "error", error: { type: "api_error", message: words } }),
  counts: ["input_tokens", "output_tokens"],
};

// --- Gemini's, in AI Studio and at Vertex AI -----------------------------------------------------

const geminiUsage = { promptTokenCount: 11, candidatesTokenCount: 7, totalTokenCount: 18 };
const candidate = (text, more, usageMetadata = geminiUsage) => ({ candidates: [{ content: { role: "model", parts: [{ text }] }, index: 0, ...more }], ...(usageMetadata && { usageMetadata }), modelVersion: "fake-2026", responseId: "r-1" });
const google = {
  type: "text/event-stream",
  begin: [],
  // What was used up to there: of the answer nothing yet.
  word: (text) => data(candidate(text, {}, { promptTokenCount: 11, totalTokenCount: 11 })),
  end: [data(candidate("", { finishReason: "STOP" }))],
  // Google writes it between the events, as it is.
  failure: `${JSON.stringify({ error: { code: 500, message: FAILURE, status: "INTERNAL" } }, null, 2)}\n`,
  whole: (text, { usage = geminiUsage } = {}) => candidate(text, { finishReason: "STOP" }, usage),
  error: (words) => ({ error: { code: 500, message: words, status: "INTERNAL" } }),
  counts: ["promptTokenCount", "candidatesTokenCount"],
};
const verb = (stream) => (stream ? "streamGenerateContent?alt=sse" : "generateContent");
const gemini = {
  ...google,
  row: (origin) => ({ dialect: "gemini", base_url: `${origin}/v1beta` }),
  path: (name, stream) => `/v1beta/models/${name}:${verb(stream)}`,
  shown: { "x-goog-api-key": SECRET },
};
const PLACE = "/v1/projects/a-project/locations/europe-west4/publishers";
const vertexRow = (origin) => ({ dialect: "vertex", base_url: `${origin}/v1`, region: "europe-west4", project: "a-project" });
const vertex = { ...google, row: vertexRow, path: (name, stream) => `${PLACE}/google/models/${name}:${verb(stream)}`, shown: bearer };
// Of Vertex' models those of that name are Anthropic's.
const claude = { ...anthropic, row: vertexRow, prefix: "claude-", path: (name, stream) => `${PLACE}/anthropic/models/${name}:${stream ? "streamRawPredict" : "rawPredict"}`, shown: bearer };

// --- Bedrock's Converse --------------------------------------------------------------------------

// An AWS event stream's message: lengths and a checksum, headers of type 7 (text), payload, a checksum.
export function awsMessage(headers, payload) {
  const head = Buffer.concat(Object.entries(headers).map(([name, value]) => {
    const sizes = [Buffer.from([name.length]), Buffer.from(name), Buffer.from([7, value.length >> 8, value.length & 255]), Buffer.from(value)];
    return Buffer.concat(sizes);
  }));
  const body = Buffer.from(JSON.stringify(payload));
  const prelude = Buffer.alloc(12);
  prelude.writeUInt32BE(head.length + body.length + 16, 0);
  prelude.writeUInt32BE(head.length, 4);
  prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8);
  const message = Buffer.concat([prelude, head, body]);
  const end = Buffer.alloc(4);
  end.writeUInt32BE(crc32(message));
  return Buffer.concat([message, end]);
}
const awsEvent = (name, payload) => awsMessage({ ":event-type": name, ":content-type": "application/json", ":message-type": "event" }, payload);
const converseUsage = { inputTokens: 11, outputTokens: 7, totalTokens: 18 };
const bedrock = {
  row: (origin) => ({ dialect: "bedrock", base_url: origin, region: "eu-central-1" }),
  path: (name, stream) => `/model/${name}/converse${stream ? "-stream" : ""}`,
  shown: bearer,
  type: "application/vnd.amazon.eventstream",
  begin: [awsEvent("messageStart", { role: "assistant" })],
  word: (text) => awsEvent("contentBlockDelta", { contentBlockIndex: 0, delta: { text } }),
  end: [awsEvent("contentBlockStop", { contentBlockIndex: 0 }), awsEvent("messageStop", { stopReason: "end_turn" }), awsEvent("metadata", { usage: converseUsage, metrics: { latencyMs: 1 } })],
  failure: awsMessage({ ":exception-type": "internalServerException", ":content-type": "application/json", ":message-type": "exception" }, { message: FAILURE }),
  whole: (text, { usage = converseUsage } = {}) => ({ output: { message: { role: "assistant", content: [{ text }] } }, stopReason: "end_turn", ...(usage && { usage }), metrics: { latencyMs: 1 } }),
  error: (words) => ({ message: words }),
  counts: ["inputTokens", "outputTokens"],
};

// --- Cohere, Ollama ------------------------------------------------------------------------------

const cohereUsage = { billed_units: { input_tokens: 11, output_tokens: 7 }, tokens: { input_tokens: 11, output_tokens: 7 } };
const cohere = {
  row: (origin) => ({ dialect: "cohere", base_url: `${origin}/v2` }),
  path: () => "/v2/chat",
  shown: bearer,
  type: "text/event-stream",
  begin: [
    { type: "message-start", id: "c-1", delta: { message: { role: "assistant", content: [], tool_calls: [], citations: [] } } },
    { type: "content-start", index: 0, delta: { message: { content: { type: "text", text: "" } } } },
  ].map(named),
  word: (text) => named({ type: "content-delta", index: 0, delta: { message: { content: { text } } } }),
  end: [{ type: "content-end", index: 0 }, { type: "message-end", delta: { finish_reason: "COMPLETE", usage: cohereUsage } }].map(named),
  failure: named({ type: "message-end", delta: { finish_reason: "ERROR", error: FAILURE, usage: cohereUsage } }),
  whole: (text, { usage = cohereUsage } = {}) => ({ id: "c-1", finish_reason: "COMPLETE", message: { role: "assistant", content: [{ type: "text", text }] }, ...(usage && { usage }) }),
  error: (words) => ({ id: "e-1", message: words }),
  counts: ["input_tokens", "output_tokens"],
};
const ollamaLine = (content, more) => ({ model: "fake-2026", created_at: "2026-11-01T00:00:00Z", message: { role: "assistant", content }, done: false, ...more });
const ollamaUsage = { prompt_eval_count: 11, eval_count: 7 };
const ollama = {
  row: (origin) => ({ dialect: "ollama", base_url: origin, credential: { type: "none" } }),
  path: () => "/api/chat",
  shown: {},
  type: "application/x-ndjson",
  begin: [],
  word: (text) => line(ollamaLine(text)),
  end: [line(ollamaLine("", { done: true, done_reason: "stop", ...ollamaUsage }))],
  failure: line({ error: FAILURE }),
  whole: (text, { usage = ollamaUsage } = {}) => ollamaLine(text, { done: true, done_reason: "stop", ...usage }),
  error: (words) => ({ error: words }),
  counts: ["prompt_eval_count", "eval_count"],
};

export const DIALECTS = { openai, "azure-openai": azure, "openai-responses": responses, anthropic, gemini, vertex, "vertex-claude": claude, bedrock, cohere, ollama };

export const wholeOf = (dialect, words) => [...dialect.begin, ...words.map(dialect.word), ...dialect.end];

// Registers a provider of each dialect, under the dialect's name and `suffix` (names alone are the catalog's).
export async function registerDialects(world, suffix = "", more = {}) {
  await Promise.all(Object.entries(DIALECTS).map(([name, { row }]) =>
    world.provider(`${name}${suffix}`, { credential: { type: "bearer", value: SECRET }, ...row(world.fake.origin), ...more })));
}
