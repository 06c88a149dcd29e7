// What a recorded exchange says, by the walker of its format; and its answer as bytes to be served again.
import { awsFrames, lines, sseObjects } from "./frames.mjs";
import { chatBody, chatChunks, completionsBody, completionsChunks } from "./walk-chat.mjs";
import { responsesBody, responsesEvents } from "./walk-responses.mjs";
import { anthropicBody, anthropicEvents } from "./walk-anthropic.mjs";
import { geminiBody, geminiChunks } from "./walk-gemini.mjs";
import { cohereBody, cohereEvents, converseBody, converseFrames, ollamaBody, ollamaLines } from "./walk-others.mjs";

// By wire format: walkers of one body and of a stream.
const WALKERS = {
  "openai.chat": [chatBody, chatChunks],
  "openai.completions": [completionsBody, completionsChunks],
  "openai.responses": [responsesBody, responsesEvents],
  "anthropic.messages": [anthropicBody, anthropicEvents],
  "gemini.generateContent": [geminiBody, geminiChunks],
  "bedrock.converse": [converseBody, converseFrames],
  "cohere.chat.v2": [cohereBody, cohereEvents],
  "ollama.chat": [ollamaBody, ollamaLines],
};

const PIECES = {
  sse: ({ sse: text }) => [...sseObjects(text), ...bare(text)],
  ndjson: ({ sse: text }) => lines(text),
  "json-array": ({ sse: text }) => JSON.parse(text),
  eventstream: ({ raw_base64 }) => awsFrames(Buffer.from(raw_base64, "base64")),
};

// Google breaks off with an error that is no event: plain JSON after the last one.
function bare(text) {
  const found = /^\{$[\s\S]*^\}$/m.exec(text);
  return found === null ? [] : [JSON.parse(found[0])];
}

export function saidBy({ dialect, framing, response }) {
  if (response.status !== 200) return { choices: [], usage: null, failure: { message: null, status: response.status } };
  const [body, stream] = WALKERS[dialect];
  if (framing === null) return body(response.body);
  const said = stream(PIECES[framing](response));
  const ended = said.choices.some(({ finish }) => finish !== null) || /^data: ?\[DONE\]\s*$/m.test(response.sse ?? "");
  return ended || said.failure !== null ? said : { ...said, failure: { message: "the stream has no end", status: null } };
}

const TYPES = { sse: "text/event-stream", ndjson: "application/x-ndjson", "json-array": "application/json", eventstream: "application/vnd.amazon.eventstream" };
const HOP = /^(content-length|content-encoding|transfer-encoding|connection|keep-alive|date)$/;

// {status, headers, bytes}. What was recorded as an array of JSON is given as events to who asks for those
// (`alt=sse`), as Google does.
export function answerOf({ framing, response }, { events = false } = {}) {
  const headers = Object.fromEntries(Object.entries(response.headers ?? {}).filter(([name]) => !HOP.test(name)));
  const text = typeof response.body === "string" ? response.body : JSON.stringify(response.body);
  headers["content-type"] ??= TYPES[framing] ?? (typeof response.body === "string" ? "text/plain" : "application/json");
  if (framing === "json-array" && events) {
    const pieces = JSON.parse(response.sse).map((piece) => `data: ${JSON.stringify(piece)}\r\n\r\n`);
    return { status: response.status, headers: { ...headers, "content-type": TYPES.sse }, bytes: Buffer.from(pieces.join("")) };
  }
  const bytes = framing === "eventstream" ? Buffer.from(response.raw_base64, "base64") : Buffer.from(framing === null ? text : response.sse);
  return { status: response.status, headers, bytes };
}

// How bytes may arrive: at once, an event at a time, cut in the midst of events and of characters.
export const CHUNKINGS = ["whole", "events", "odd"];

export function chunked(bytes, framing, chunking) {
  if (chunking === "whole") return [bytes];
  if (chunking === "odd") return cutOdd(bytes);
  if (framing === "eventstream") return awsFrames(bytes).map(({ start, end }) => bytes.subarray(start, end));
  return bytes.toString().split(framing === "ndjson" ? /(?<=\n)/ : /(?<=\n\r?\n)/).map((piece) => Buffer.from(piece));
}

// Large pieces follow small ones, so that a long stream does not take long.
function cutOdd(bytes) {
  const sizes = [1, 2, 3, 5, 13, 64, 301, 1009];
  const pieces = [];
  for (let at = 0, n = 0; at < bytes.length; n++) pieces.push(bytes.subarray(at, (at += sizes[n % sizes.length])));
  return pieces;
}

