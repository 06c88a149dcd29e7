// Cases that cannot pass, each with its reason. A case that differs and is not here fails; an entry that
// explains nothing any more fails too.
//
//   exchange   its name, or what it begins with and `*`; client and field: one, or several with `|`
//
// Fields are those of said.mjs.

const ARGUMENTS = "the format's arguments are an object, which this is not (it was cut short, or the tool takes plain text): it stands in one";

export const EXPLAINED = [
  {
    exchange: "openai/responses-stream-tool-call-947f11fd|openai/responses-*-server-tool-call-*|llamacpp/chat-stream-tool-call-19da339b|mistral/chat-stream-tool-call-ef863a50|deepseek/chat-unary-parallel-tool-calls-057be2ac",
    client: "gemini*|messages", field: "calls", why: ARGUMENTS,
  },
  {
    exchange: "google/generate-stream-system-prompt-caa31117", client: "messages", field: "finish",
    why: "Gemini made a call that nobody asked for (UNEXPECTED_TOOL_CALL): the format has no word for an answer that broke",
  },
  {
    exchange: "google/generate-stream-system-prompt-caa31117", client: "responses",
    why: "Gemini made a call that nobody asked for (UNEXPECTED_TOOL_CALL): in this format the answer has failed",
  },
  {
    exchange: "azure-openai/chat-stream-tool-call-abb54280|azure-openai/chat-unary-json-mode-f063b5b6|azure-openai/chat-unary-parallel-tool-calls-05f8ffdf|openrouter/chat-unary-cache-read-13a7e6e6",
    client: "messages", field: "usage.prompt",
    why: "the vendor says that more of the prompt was read from the cache, or written to it, than there is; the format counts the parts",
  },
  {
    exchange: "vercel-gateway/*", client: "gemini*", field: "usage.completion",
    why: "the vendor says that more was thought than said in all; the format counts the two apart",
  },
  {
    exchange: "openai/chat-stream-text-40b40d83", client: "gemini*", field: "spoken",
    why: "the recorder left out the sound's bytes, and the format tells no words of a sound",
  },
  {
    exchange: "azure-openai/responses-unary-server-tool-call-2ccbfdfc", client: "chat|messages|gemini*", field: "images",
    why: "the image was made by a tool that OpenAI runs, whose items only its own format knows",
  },
];

// What the vendors' SDKs do not take, or put together otherwise (fields `error`, `python` and the rest of
// what they say). Answers of a provider of the client's own format are passed on as they are: what an SDK
// trips over then is the provider's.
const THEIRS = "the provider's own bytes, which it would trip over there too";
export const SDKS_EXPLAINED = [
  { exchange: "azure-openai/chat-stream-text-8a05ac80|groq/chat-stream-reasoning-92f7b69e", client: "chat", why: `no role, or no choice, in the whole stream: ${THEIRS}` },
  { exchange: "mistral/chat-*", client: "chat", why: `content that is a list, calls without an index or a type: ${THEIRS}` },
  { exchange: "openai/chat-stream-text-40b40d83", client: "chat", why: `chunks without \`choices\`: ${THEIRS}` },
  { exchange: "openrouter/chat-stream-citations-c5b651f2", client: "chat", field: "python", why: `annotations without an index: ${THEIRS}` },
  { exchange: "perplexity/chat-stream-citations-*", client: "chat", field: "finish", why: `a chunk after the last one takes the finish reason back: ${THEIRS}` },
  { exchange: "openai/responses-stream-server-tool-call-58f97f4a", client: "responses", field: "text", why: "the recorder shortened the deltas: the text at the end is longer than they are" },
  { exchange: "openai/responses-unary-server-tool-call-a957eb99|xai/responses-unary-server-tool-call-e4cc7fb9", client: "responses", field: "python", why: `items that OpenAI's SDK does not know: ${THEIRS}` },
  { exchange: "anthropic/messages-*-server-tool-call-*", client: "messages", field: "python", why: `blocks of tools in beta, which Anthropic's SDK has in another class: ${THEIRS}` },
  { exchange: "google/generate-*|vertex/generate-*", client: "gemini", field: "python", why: `numbers for words, which the recorder had asked for: ${THEIRS}` },
  { exchange: "google/generate-stream-text-510677ce", client: "messages", field: "python", why: "an image that the model made: the SDK knows none in answers" },
  { exchange: "google/generate-stream-system-prompt-caa31117", client: "chat|messages", why: "an answer that broke: OpenRouter has a word for it (`error`), OpenAI and Anthropic have none" },
  { exchange: "openai/responses-stream-server-tool-call-8b827030", client: "chat", field: "python", why: "a tool that takes plain text: OpenAI's chat has it in streams, too, the SDK's type has not" },
];

// Entries that have explained something.
export const used = new Set();

const fits = (patterns, value) => patterns.split("|").some((pattern) => new RegExp(`^${pattern.replace(/[.+?^${}()[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`).test(value));

// The first entry that explains this difference.
export function explanation(name, client, { field }, entries = EXPLAINED) {
  const found = entries.find((entry) => fits(entry.exchange, name) && fits(entry.client ?? "*", client) && fits(entry.field ?? "*", field));
  if (found !== undefined) used.add(found);
  return found;
}
