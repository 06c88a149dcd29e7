// Cases that cannot pass, each with its reason. A case that differs and is not here fails; an entry that
// explains nothing any more fails too.
//
//   exchange   its name, or what it begins with and `*`; client and field: one, or several with `|`
//
// Fields are those of said.mjs; `python` and `error` are what SDKs complain of.

const ARGUMENTS = "the format's arguments are an object, which this is not (it was cut short, or the tool takes plain text): it stands in one";

export const EXPLAINED = [
  {
    exchange: "openai/responses-stream-tool-call-947f11fd|openai/responses-*-server-tool-call-*|llamacpp/chat-stream-tool-call-19da339b|mistral/chat-stream-tool-call-ef863a50|deepseek/chat-unary-parallel-tool-calls-057be2ac",
    client: "gemini|messages", field: "calls", why: ARGUMENTS,
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
    exchange: "vercel-gateway/*", client: "gemini", field: "usage.completion",
    why: "the vendor says that more was thought than said in all; the format counts the two apart",
  },
  {
    exchange: "openai/chat-stream-text-40b40d83", client: "gemini", field: "spoken",
    why: "the recorder left out the sound's bytes, and the format tells no words of a sound",
  },
  {
    exchange: "azure-openai/responses-unary-server-tool-call-2ccbfdfc", client: "chat|messages|gemini", field: "images",
    why: "the image was made by a tool that OpenAI runs, whose items only its own format knows",
  },
];

// Entries that have explained something.
export const used = new Set();

const fits = (patterns, value) => patterns.split("|").some((pattern) => new RegExp(`^${pattern.replace(/[.+?^${}()[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`).test(value));

// The first entry that explains this difference.
export function explanation(name, client, { field }) {
  const found = EXPLAINED.find((entry) => fits(entry.exchange, name) && fits(entry.client ?? "*", client) && fits(entry.field ?? "*", field));
  if (found !== undefined) used.add(found);
  return found;
}
