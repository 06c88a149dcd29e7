// The demo upstream: three pretend providers (aimock) on loopback that answer any prompt at different
// speeds. Started by the supervisor with the state folder as argument; listens on the ports kept
// there if they are free, tells the supervisor by IPC which, and ends when the supervisor does.
import { join } from "node:path";
import { LLMock } from "@copilotkit/aimock";
import { providers } from "./lib/demo-catalog.mjs";
import { readJson, writeJson } from "./lib/files.mjs";
import { listenable } from "./lib/processes.mjs";

const CHUNK = 12; // characters, about three tokens
const TOKENS_PER_CHUNK = 3;
const HOST = "127.0.0.1";

process.on("disconnect", () => process.exit(0));

const file = join(process.argv[2], "demo.json");
const kept = readJson(file) ?? {};
const ports = {};
for (const provider of providers) {
  const wanted = kept[provider.slug];
  const port = (wanted !== undefined && (await listenable(wanted, HOST))) || (await listenable(0, HOST));
  ports[provider.slug] = port;
  await serve(provider, port);
}
writeJson(file, ports);
process.send?.({ ports });

async function serve(provider, port) {
  const chunksPerSecond = provider.throughput / TOKENS_PER_CHUNK;
  const mock = new LLMock({ host: HOST, port, chunkSize: CHUNK, journalMaxEntries: 10, logLevel: "warn" });
  mock.on({ predicate: () => true }, (request) => respond(provider, request), {
    streamingProfile: { ttft: 0, tps: chunksPerSecond },
  });
  await mock.start();
}

async function respond(provider, request) {
  const response = answerTo(provider, request);
  const length = (response.content ?? "").length + (response.reasoning ?? "").length;
  // A stream is paced by aimock; a whole answer takes as long as its stream would.
  const writing = request.stream ? 0 : (length / CHUNK / provider.throughput) * TOKENS_PER_CHUNK * 1000;
  await new Promise((done) => setTimeout(done, provider.ttft_ms + writing));
  return response;
}

function answerTo(provider, request) {
  const { model, messages = [], tools = [], tool_choice, response_format } = request;
  const last = messages.at(-1);
  if (tools.length > 0 && tool_choice !== "none" && last?.role !== "tool") return toolCall(tools, tool_choice);
  if (response_format?.type === "json_schema") return { content: JSON.stringify(sample(response_format.json_schema?.schema)) };
  if (response_format?.type === "json_object") return { content: JSON.stringify({ provider: provider.slug, model, you_said: textOf(last) }) };
  const reasoning = model.includes("reasoner") ? { reasoning: "The user wants an answer. This is a demo, so I name the provider and repeat the question." } : {};
  return { ...reasoning, ...limited(prose(provider, model, last), request) };
}

function prose(provider, model, last) {
  const heard = last?.role === "tool" ? "The tool answered" : "You said";
  return `Hello from ${provider.slug}, one of three pretend providers of ${model}. ${heard}: "${textOf(last)}". ` +
    "No real model was asked and nothing was charged. The same prompt to this model with :floor goes to the cheapest of the three, " +
    "with :nitro to the fastest. Set a provider's key, such as OPENAI_API_KEY, and start again to reach real models.";
}

function textOf(message) {
  const content = message?.content ?? "";
  const text = typeof content === "string" ? content : content.map((part) => part.text ?? `[${part.type}]`).join(" ");
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

// A token is taken for four characters, as aimock counts usage.
function limited(content, { max_completion_tokens, max_tokens }) {
  const limit = max_completion_tokens ?? max_tokens;
  if (typeof limit !== "number" || content.length <= limit * 4) return { content };
  return { content: content.slice(0, Math.max(limit, 1) * 4), finishReason: "length" };
}

function toolCall(tools, choice) {
  const named = tools.find((tool) => tool.function?.name === choice?.function?.name) ?? tools[0];
  return { toolCalls: [{ name: named.function.name, arguments: JSON.stringify(sample(named.function.parameters) ?? {}) }] };
}

// A value that fits a JSON Schema, plain cases of it.
function sample(schema = {}) {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice) return sample(choice[0]);
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case "string": return "demo";
    case "integer":
    case "number": return schema.minimum ?? 1;
    case "boolean": return true;
    case "null": return null;
    case "array": return [sample(schema.items)];
    default: return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, sample(inner)]));
  }
}
