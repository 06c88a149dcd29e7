// One exchange through the gateway in one client's format, and what came of it:
// {exchange, client, differences, reasons}.
import { parsed } from "../chat.mjs";
import { CLIENTS, shown } from "./clients.mjs";
import { differences, statusFor } from "./compare.mjs";
import { modelOf } from "./providers.mjs";
import { marker } from "./replay.mjs";
import { CHUNKINGS, saidBy } from "./vendor.mjs";

// Formats of the corpus in which the gateway asks for answers; fewer of them, and fewer clients, while
// something is looked into.
export const DIALECTS = process.env.SLUICE_FORMATS_DIALECTS?.split(",") ?? ["openai.chat", "openai.completions", "openai.responses", "anthropic.messages", "gemini.generateContent", "bedrock.converse", "cohere.chat.v2", "ollama.chat"];

export const clientNames = process.env.SLUICE_FORMATS_CLIENTS?.split(",") ?? Object.keys(CLIENTS);
export const complete = process.env.SLUICE_FORMATS_DIALECTS === undefined && process.env.SLUICE_FORMATS_CLIENTS === undefined;

// Older completions are asked for by clients of that format alone: of others the gateway asks chat.
export const asks = (client, { dialect, stream }) => (dialect !== "openai.completions" || client === "completions") && !(CLIENTS[client].streamsOnly && stream === false);

// Each client gets another chunking of the same stream.
export async function runCase(world, exchange, client, at) {
  const chunking = CHUNKINGS[(at + clientNames.indexOf(client)) % CHUNKINGS.length];
  const { path, body, headers = {} } = CLIENTS[client];
  const model = modelOf(exchange);
  const answer = await ask(world, path(model, exchange.stream), body(model, `Please answer. ${marker(exchange.name, chunking)}`, exchange.stream), headers);
  const { said, reasons } = shown(client, saidBy(exchange));
  return { exchange, client, reasons, differences: judge(CLIENTS[client], exchange, said, answer) };
}

// Not as World asks, who keeps answers for the check against openapi.yaml: these are the vendors' own words.
export async function ask({ gateway }, path, body, headers = {}) {
  const response = await fetch(gateway.url + path, {
    method: "POST", body: JSON.stringify(body),
    headers: { authorization: `Bearer ${gateway.keys.inference}`, "content-type": "application/json", ...headers },
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parsed(text) };
}

function judge(client, { stream }, expected, answer) {
  if (answer.status !== 200) return refused(client, expected, answer);
  const type = answer.headers.get("content-type") ?? "";
  const right = stream ? (client.streamType ?? "text/event-stream") : "application/json";
  if (!type.startsWith(right)) return [{ field: "content type", expected: right, got: type }];
  const got = stream ? client.streamed(answer.text) : client.said(parsed(answer.text));
  const found = differences(expected, got);
  if (stream && expected.failure === null && !client.ended(answer.text)) found.push({ field: "end of the stream", expected: true, got: answer.text.slice(-200) });
  return found;
}

function refused(client, { failure }, { status, text }) {
  if (failure === null) return [{ field: "status", expected: 200, got: `${status} ${text}` }];
  const found = [];
  if (failure.status !== null && statusFor(failure.status) !== status) found.push({ field: "status", expected: statusFor(failure.status), got: `${status} ${text}` });
  const message = client.failure(parsed(text) ?? {});
  if (typeof message !== "string" || message.length < 10) found.push({ field: "error envelope", expected: "a message", got: text });
  return found;
}

// Every case, so many at a time.
export async function runAll(cases, run, atOnce = 8) {
  const results = new Array(cases.length);
  let next = 0;
  const worker = async () => {
    for (let at; (at = next++) < cases.length; ) results[at] = await run(...cases[at]);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}
