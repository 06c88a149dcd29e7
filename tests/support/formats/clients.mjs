// The formats of clients: how each asks, how its answers are read, and what it has no place for.
//
//   path, body       (model, prompt, stream) of the request
//   said, streamed   what an answer says, by the format's own walker
//   shows            what of it the format has a place for: takes what the vendor said, answers with what
//                    a client of this format can be told of it
//   failure          the message of an error answer, by the format's own envelope
import { parsed } from "../chat.mjs";
import { sseObjects } from "./frames.mjs";
import { calling } from "./said.mjs";
import { chatBody, chatChunks, completionsBody, completionsChunks } from "./walk-chat.mjs";
import { responsesBody, responsesEvents } from "./walk-responses.mjs";
import { anthropicBody, anthropicEvents } from "./walk-anthropic.mjs";
import { geminiBody, geminiChunks } from "./walk-gemini.mjs";

const events = (read) => (text) => read(sseObjects(text));
const openaiFailure = ({ error }) => typeof error?.code !== "undefined" && typeof error.type === "string" && error.message;
const MOST = 4096;

// One answer of several; a refusal's words as text.
const first = (said) => ({ ...said, choices: said.choices.slice(0, 1) });
const each = (change) => (said) => ({ ...said, choices: said.choices.map((choice) => ({ ...choice, ...change(choice) })) });
const spokenAsText = ["the format has no sounds in answers: their words are text", each(({ text, spoken }) => ({ text: text + spoken, spoken: "" }))];
const callsEndAnswers = ["the format does not tell an answer that calls tools from one that is complete", each(({ finish, calls }) => ({ finish: calling(finish, calls.length) }))];
const refusalsAsText = each(({ text, refusal }) => ({ text: text + refusal, refusal: "" }));
const withoutUsage = (name) => (said) => ({ ...said, usage: said.usage && { ...said.usage, [name]: 0 } });

export const CLIENTS = {
  chat: {
    path: () => "/v1/chat/completions",
    body: (model, prompt, stream) => ({ model, messages: [{ role: "user", content: prompt }], stream }),
    said: chatBody, streamed: events(chatChunks),
    ended: (text) => text.endsWith("data: [DONE]\n\n"),
    shows: [],
    failure: openaiFailure,
  },
  completions: {
    path: () => "/v1/completions",
    body: (model, prompt, stream) => ({ model, prompt, stream }),
    said: completionsBody, streamed: events(completionsChunks),
    ended: (text) => text.endsWith("data: [DONE]\n\n"),
    shows: [
      ["the format has text alone: a refusal's words are text", refusalsAsText],
      ["the format has no calls, no images and no sounds", each(() => ({ calls: [], images: 0, spoken: "" }))],
    ],
    failure: openaiFailure,
  },
  responses: {
    path: () => "/v1/responses",
    body: (model, prompt, stream) => ({ model, input: prompt, stream, store: false }),
    said: responsesBody, streamed: events(responsesEvents),
    ended: (text) => /"type":"response\.(completed|incomplete|failed)"/.test(text),
    shows: [["the format has one answer", first], spokenAsText, callsEndAnswers],
    failure: openaiFailure,
  },
  messages: {
    path: () => "/v1/messages",
    headers: { "anthropic-version": "2023-06-01" },
    body: (model, prompt, stream) => ({ model, max_tokens: MOST, messages: [{ role: "user", content: prompt }], stream }),
    said: anthropicBody, streamed: events(anthropicEvents),
    ended: (text) => text.includes('"type":"message_stop"'),
    shows: [["the format has one answer", first], spokenAsText, ["the format has no refusals: their words are text, and the end says so", refused]],
    failure: ({ type, error }) => type === "error" && typeof error.type === "string" && error.message,
  },
  gemini: {
    path: (model, stream) => `/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: (model, prompt) => ({ contents: [{ role: "user", parts: [{ text: prompt }] }] }),
    said: geminiBody, streamed: (text) => geminiChunks([...sseObjects(text), ...bare(text)]),
    ended: (text) => text.includes('"finishReason"') || text.includes('"blockReason"'),
    shows: [["the format has no refusals: their words are text", refusalsAsText], callsEndAnswers, ["the format does not count what is written to the cache", withoutUsage("written")]],
    failure: ({ error }) => Number.isInteger(error?.code) && typeof error.status === "string" && error.message,
  },
};
// Google's streams for who does not ask for events: one array, an element at a time.
CLIENTS["gemini-array"] = {
  ...CLIENTS.gemini, streamsOnly: true, streamType: "application/json",
  path: (model) => `/v1beta/models/${model}:streamGenerateContent`,
  streamed: (text) => geminiChunks(parsed(text) ?? []),
};

// Google's SDKs know an error in a stream by its not being an event: plain JSON on a line of its own.
const bare = (text) => text.split("\n").filter((line) => line.startsWith("{")).map(parsed);

function refused(said) {
  const choices = said.choices.map((choice) => (choice.refusal !== "" && choice.finish === "stop" ? { ...choice, finish: "content_filter" } : choice));
  return refusalsAsText({ ...said, choices });
}

// What a client of that format can be told, and why it is not all: {said, reasons}.
export function shown(client, said) {
  const reasons = [];
  for (const [reason, view] of CLIENTS[client].shows) {
    const seen = view(said);
    if (JSON.stringify(seen) !== JSON.stringify(said)) reasons.push(reason);
    said = seen;
  }
  return { said, reasons };
}
