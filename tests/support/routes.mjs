// The routes of inference as data.
//
//   name       the route, and how it is asked
//   envelope   of its errors: openai, anthropic, gemini
//   path, body, headers   of a request; the model stands in one of the first two
//   dialect    of the provider that is asked
//   answer     what that provider says to it
//   told       what an answer says it used: {prompt, completion, cost}; null where it says nothing
//   pricing    beside that of tokens
//   free       nothing is charged for it
import { completion, USAGE } from "./chat.mjs";
import { ANSWER, PROMPT } from "./common.mjs";
import { DIALECTS } from "./dialects.mjs";
import { answers } from "./fake-provider.mjs";
import { CLIENTS } from "./formats/clients.mjs";

const words = `Say something about ${PROMPT}.`;
const vector = { object: "embedding", index: 0, embedding: [0.25, -0.5] };
const openaiUsage = ({ usage }) => ({ prompt: usage.prompt_tokens, completion: usage.completion_tokens ?? 0, cost: usage.cost });
const otherUsage = ({ usage }) => ({ prompt: usage.input_tokens, completion: usage.output_tokens, cost: usage.cost });
const geminiUsage = ({ usageMetadata: usage }) => ({ prompt: usage.promptTokenCount, completion: usage.candidatesTokenCount ?? 0, cost: usage.cost });

const conversation = (client, envelope, dialect, told) => ({
  name: client, envelope, dialect, told, headers: CLIENTS[client].headers,
  path: (model) => CLIENTS[client].path(model, false), body: (model) => CLIENTS[client].body(model, words, false),
  answer: DIALECTS[dialect].whole(`All about ${ANSWER}.`),
});
const single = (name, body, answer, told = openaiUsage, more = {}) => ({
  name, envelope: "openai", dialect: "openai", path: () => `/v1/${name}`, body: (model) => ({ model, ...body }), answer, told, ...more,
});
const google = (verb, body, answer, told, more = {}) => ({
  name: verb, envelope: "gemini", dialect: "gemini", path: (model) => `/v1beta/models/${model}:${verb}`, body: () => body, answer, told, ...more,
});

const BOUNDARY = "a-boundary";
const SOUND = Buffer.from([0x52, 0x49, 0x46, 0x46, 0, 255, 13, 10, 45, 45]);
// A form of these fields; a value that is bytes is a file.
export const form = (fields) => Buffer.concat([
  ...Object.entries(fields).flatMap(([name, value]) => [
    Buffer.from(`--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${typeof value === "string" ? "" : '; filename="a.wav"\r\ncontent-type: audio/wav'}\r\n\r\n`),
    Buffer.from(value), Buffer.from("\r\n"),
  ]),
  Buffer.from(`--${BOUNDARY}--\r\n`),
]);
export const FORM = { "content-type": `multipart/form-data; boundary=${BOUNDARY}` };
export { SOUND };

const contents = [{ role: "user", parts: [{ text: words }] }];
const embedded = { values: [0.25, -0.5] };

export const ROUTES = [
  conversation("chat", "openai", "openai", openaiUsage),
  conversation("completions", "openai", "openai", openaiUsage),
  conversation("responses", "openai", "openai-responses", otherUsage),
  conversation("messages", "anthropic", "anthropic", otherUsage),
  conversation("gemini", "gemini", "gemini", geminiUsage),
  { ...conversation("gemini", "gemini", "openai", geminiUsage), name: "gemini behind chat" },
  { ...conversation("messages", "anthropic", "bedrock", otherUsage), name: "messages behind bedrock" },
  { ...conversation("chat", "openai", "cohere", openaiUsage), name: "chat behind cohere" },
  single("embeddings", { input: words }, { object: "list", data: [vector], model: "fake", usage: { prompt_tokens: 11, total_tokens: 11 } }),
  single("rerank", { query: PROMPT, documents: ["one", "two"] }, { id: "r-1", results: [{ index: 1, relevance_score: 0.9 }, { index: 0, relevance_score: 0.1 }], usage: { prompt_tokens: 11, total_tokens: 11 } }),
  single("moderations", { input: words }, { id: "m-1", model: "fake", results: [{ flagged: false, categories: {}, category_scores: {} }], usage: { prompt_tokens: 11, total_tokens: 11 } }),
  single("images/generations", { prompt: words }, { created: 1_700_000_000, data: [{ b64_json: "aGk=" }], usage: { input_tokens: 11, output_tokens: 7, total_tokens: 18 } }, otherUsage),
  single("audio/speech", { input: words, voice: "alloy" }, SOUND, null, { type: "audio/mpeg" }),
  {
    ...single("audio/transcriptions", {}, { text: `All about ${ANSWER}.`, usage: { type: "tokens", input_tokens: 11, output_tokens: 7, total_tokens: 18 } }, otherUsage),
    headers: FORM, body: (model) => form({ model, file: SOUND }),
  },
  google("embedContent", { content: { parts: [{ text: words }] } }, { embeddings: [embedded], usageMetadata: { promptTokenCount: 11 } }, null),
  google("batchEmbedContents", { requests: [{ content: { parts: [{ text: words }] } }] }, { embeddings: [embedded], usageMetadata: { promptTokenCount: 11 } }, null),
  {
    name: "messages/count_tokens", envelope: "anthropic", dialect: "anthropic", path: () => "/v1/messages/count_tokens", headers: CLIENTS.messages.headers, free: true,
    body: (model) => ({ model, messages: [{ role: "user", content: words }] }), answer: { input_tokens: 11 }, told: null,
  },
  google("countTokens", { contents }, { totalTokens: 11 }, null, { free: true }),
];

export const serves = ({ answer, type = "application/json" }) => answers(answer, { headers: { "content-type": type } });

// How a client of an envelope shows its key, and the words in which it reads an error of a status.
export const ENVELOPES = {
  openai: {
    key: (key) => ({ authorization: `Bearer ${key}` }),
    words: { 400: "invalid_request_error", 401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 409: "invalid_request_error", 429: "rate_limit_error", 502: "server_error" },
    read: ({ error }) => ({ type: error.type, code: error.code, message: error.message, param: error.param, error_type: error.metadata.error_type, provider: error.metadata.provider_name }),
  },
  anthropic: {
    key: (key) => ({ "x-api-key": key }),
    words: { 400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 409: "invalid_request_error", 429: "rate_limit_error", 502: "api_error" },
    read: ({ type, error }) => ({ type: type === "error" && error.type, code: error.code ?? "none", message: error.message, param: error.param ?? null, error_type: error.error_type, provider: error.metadata?.provider_name }),
  },
  gemini: {
    key: (key) => ({ "x-goog-api-key": key }),
    words: { 400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 502: "UNAVAILABLE" },
    read({ error }) {
      const detail = (name) => error.details.find((one) => one["@type"] === `type.googleapis.com/google.rpc.${name}`);
      const { metadata } = detail("ErrorInfo");
      return { type: error.status, code: metadata.code, message: error.message, param: detail("BadRequest")?.fieldViolations[0].field ?? null, error_type: metadata.error_type, provider: metadata.provider_name };
    },
  },
};
export { USAGE, completion };
