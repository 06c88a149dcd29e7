// What a conversation holds is read where it is translated: then a generation has begun, but nobody was
// called (`begun`).
//
// Bad requests in the formats beside chat, as data: {name, method, path, headers, body, key, status, type,
// param, code, read, begun}. MODEL stands for the model, wherever it is.
import { PROMPT } from "./common.mjs";
import { ENVELOPES, FORM, SOUND, form } from "./routes.mjs";

const asked = (route, envelope, path, base, headers) => {
  const row = (name, body, param, more = {}) => ({
    name: `${route}: ${name}`, method: "POST", path, headers: { ...headers, ...more.headers }, body, key: "inference", status: 400, param,
    type: ENVELOPES[envelope].words[400], read: ENVELOPES[envelope].read, begun: more.begun, ...(more.code && { code: more.code }),
  });
  return {
    row,
    // The good request with a member changed, and left out.
    wrong: (field, ...values) => values.map((value) => row(`${field}: ${JSON.stringify(value)}`, { ...base, [field]: value }, field)),
    without: (field) => row(`no ${field}`, Object.fromEntries(Object.entries(base).filter(([name]) => name !== field)), field),
    broken: (param = null) => ["", "{", "[]", `{"model":"MODEL","x":"${PROMPT}`, "null", `${JSON.stringify(base)}x`].map((body) => row(`no JSON: ${body.slice(0, 20)}`, body, param, { code: "invalid_json" })),
  };
};

const user = (content) => [{ role: "user", content }];

const m = asked("messages", "anthropic", "/v1/messages", { model: "MODEL", max_tokens: 10, messages: user(PROMPT) }, { "anthropic-version": "2023-06-01" });
const messages = [
  ...m.broken(), m.without("model"), m.without("max_tokens"), m.without("messages"),
  ...m.wrong("messages", [], "hello", {}), ...m.wrong("max_tokens", 0, -1, "10", 1.5), ...m.wrong("temperature", 1.5, "hot"), ...m.wrong("stream", "yes"),
  ...m.wrong("system", 5), ...m.wrong("tools", {}), ...m.wrong("tool_choice", "auto"), ...m.wrong("thinking", true), ...m.wrong("stop_sequences", "END"), ...m.wrong("metadata", "x"),
  ...m.wrong("model", 5, ""), ...m.wrong("provider", "fake-1"),
];

const begun = { begun: true };
const mess = (name, messages, param) => m.row(name, { model: "MODEL", max_tokens: 10, messages }, param, begun);
const turns = [
  mess("a turn that is a string", ["hi"], "messages[0]"),
  mess("a turn without a role", [{ content: PROMPT }], "messages[0].role"),
  mess("an unknown role", [{ role: "wizard", content: PROMPT }], "messages[0].role"),
  mess("content that is a number", user(5), "messages[0].content"),
  mess("a block without a type", user([{ text: PROMPT }]), "messages[0].content[0].type"),
  mess("a text that is a number", user([{ type: "text", text: 5 }]), "messages[0].content[0].text"),
  mess("an image without a source", user([{ type: "image" }]), "messages[0].content[0].source"),
];

const c = asked("count_tokens", "anthropic", "/v1/messages/count_tokens", { model: "MODEL", messages: user(PROMPT) });
const counts = [...c.broken(), c.without("model"), c.without("messages"), ...c.wrong("messages", "hello")];

const r = asked("responses", "openai", "/v1/responses", { model: "MODEL", input: PROMPT });
const responses = [
  ...r.broken(), r.without("model"), r.without("input"), ...r.wrong("input", 5, []), ...r.wrong("max_output_tokens", 0, "x"), ...r.wrong("temperature", 3), ...r.wrong("tools", {}),
  ...r.wrong("text", "json"), ...r.wrong("reasoning", "high"), ...r.wrong("stream", 1), ...r.wrong("store", "no"), ...r.wrong("include", "x"), ...r.wrong("top_logprobs", 21),
  r.row("an item that is a number", { model: "MODEL", input: [5] }, "input[0]", begun),
  r.row("an item of an unknown role", { model: "MODEL", input: [{ role: "wizard", content: PROMPT }] }, "input[0].role", begun),
  r.row("a conversation that is kept elsewhere", { model: "MODEL", input: PROMPT, previous_response_id: "resp_1" }, "previous_response_id", begun),
];

const o = asked("completions", "openai", "/v1/completions", { model: "MODEL", prompt: PROMPT });
const completions = [...o.broken(), o.without("model"), o.without("prompt"), ...o.wrong("prompt", {}, 5, []), ...o.wrong("max_tokens", -1, "x"), ...o.wrong("n", 0), ...o.wrong("echo", "x"), ...o.wrong("stop", {})];

const g = asked("gemini", "gemini", "/v1beta/models/MODEL:generateContent", { contents: [{ role: "user", parts: [{ text: PROMPT }] }] });
const gemini = [
  ...g.broken(), g.without("contents"), ...g.wrong("contents", []), ...g.wrong("generationConfig", 5), ...g.wrong("safetySettings", "off"), ...g.wrong("systemInstruction", 5), ...g.wrong("toolConfig", []),
  // By the name that chat has for it.
  g.row("a part without content", { contents: [{ role: "user", parts: [{}] }] }, "messages[0].content[0]", begun),
  g.row("an unknown role", { contents: [{ role: "wizard", parts: [{ text: PROMPT }] }] }, "contents[0].role", begun),
  g.row("a temperature in words", { contents: [{ parts: [{ text: PROMPT }] }], generationConfig: { temperature: "hot" } }, "generationConfig.temperature", begun),
];
const ge = asked("gemini embeddings", "gemini", "/v1beta/models/MODEL:embedContent", { content: { parts: [{ text: PROMPT }] } });
const geminiEmbeddings = [...ge.broken("body"), ge.without("content"), ...ge.wrong("content", 5), ...ge.wrong("outputDimensionality", "x")];

const e = asked("embeddings", "openai", "/v1/embeddings", { model: "MODEL", input: PROMPT });
const embeddings = [...e.broken(), e.without("model"), e.without("input"), ...e.wrong("input", "", [], 5, {}), ...e.wrong("dimensions", 0, "x"), e.row("a list of two kinds", { model: "MODEL", input: ["a", 5] }, "input[1]")];

const k = asked("rerank", "openai", "/v1/rerank", { model: "MODEL", query: PROMPT, documents: ["a"] });
const rankings = [...k.broken(), k.without("model"), k.without("query"), k.without("documents"), ...k.wrong("documents", [], "a", {}), ...k.wrong("query", 5), ...k.wrong("top_n", 0, "x")];

const j = asked("moderations", "openai", "/v1/moderations", { model: "MODEL", input: PROMPT });
const moderations = [...j.broken(), j.without("input"), ...j.wrong("input", [], 5)];

const i = asked("images", "openai", "/v1/images/generations", { model: "MODEL", prompt: PROMPT });
const images = [...i.broken(), i.without("model"), i.without("prompt"), ...i.wrong("prompt", "", 5), ...i.wrong("n", 0, 11, "2"), ...i.wrong("stream", true), ...i.wrong("size", 5)];

const s = asked("speech", "openai", "/v1/audio/speech", { model: "MODEL", input: PROMPT, voice: "alloy" });
const speech = [...s.broken(), s.without("model"), s.without("input"), ...s.wrong("input", "", 5), ...s.wrong("speed", 5, "fast"), ...s.wrong("stream_format", "sse")];

const t = asked("transcriptions", "openai", "/v1/audio/transcriptions", {});
const sent = (name, body, param, headers = FORM, code) => t.row(name, body, param, { headers, code });
const whole = form({ model: "MODEL", file: SOUND });
const transcriptions = [
  sent("no file", form({ model: "MODEL" }), "file"),
  sent("no model", form({ file: SOUND }), "model"),
  sent("a file that is text", form({ model: "MODEL", file: "words" }), "file"),
  sent("a file that is empty", form({ model: "MODEL", file: Buffer.alloc(0) }), "file"),
  sent("a temperature in words", form({ model: "MODEL", file: SOUND, temperature: "hot" }), "temperature"),
  sent("a stream", form({ model: "MODEL", file: SOUND, stream: "true" }), "stream"),
  sent("a form without a boundary", whole, null, { "content-type": "multipart/form-data" }, "invalid_multipart"),
  sent("a form of another boundary", whole, null, { "content-type": "multipart/form-data; boundary=other" }, "invalid_multipart"),
  sent("a form that is cut off", whole.subarray(0, whole.length - 20), null, FORM, "invalid_multipart"),
  sent("a form that is empty", Buffer.alloc(0), null, FORM, "invalid_multipart"),
  sent("a form that is none", Buffer.from(`please listen: ${PROMPT}`), null, FORM, "invalid_multipart"),
  sent("JSON without a sound", Buffer.from('{"model":"MODEL"}'), "input_audio", { "content-type": "application/json" }),
  sent("JSON whose sound is no base64", Buffer.from('{"model":"MODEL","input_audio":{"data":"%%%","format":"wav"}}'), "input_audio.data", { "content-type": "application/json" }),
];

export const badFormats = [
  ...messages, ...turns, ...counts, ...responses, ...completions, ...gemini, ...geminiEmbeddings, ...embeddings, ...rankings, ...moderations, ...images, ...speech, ...transcriptions,
];
