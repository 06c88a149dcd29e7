// Performs what an effect says: bytes and requests, no decision. The forms of effects are those of
// src/shell/exports.rs.
import * as wasm from "../../build/bindgen/sluice.js";

export const MAX_BODY = 8 * 1024 * 1024;
// Of a recording that is to be written down: providers take 25 MB.
export const MAX_SOUND = 26 * 1024 * 1024;
const MAX_ANSWER = 64 * 1024 * 1024;
const utf8 = new TextEncoder();
// What keeps a client's stream open.
const COMMENT = utf8.encode(": SLUICE PROCESSING\n\n");
const LINE = utf8.encode("\n");

// The whole body, or null when it is too large. What is too large is read to its end all the same, up
// to a limit: a client that is still sending does not read the answer.
export async function readBody(request, most) {
  const declared = Number(request.headers.get("content-length") ?? -1);
  if (declared >= 0 && declared <= most) return new Uint8Array(await request.arrayBuffer());
  if (request.body === null) return new Uint8Array(0);
  const parts = [];
  let size = 0;
  for await (const part of request.body) {
    size += part.length;
    if (size <= most) parts.push(part);
    else if (size > MAX_ANSWER) return null;
  }
  return size > most ? null : concat(parts, size);
}

// F  exchange url flags total,first,idle,keepalive id stream-type  k header*k  n header*n  m start,end,length*m  texts
export function parseFetch(effect) {
  const lines = effect.split("\n");
  const [total, first, idle, keepalive] = lines[4].split(",").map(Number);
  const own = 8 + Number(lines[7]);
  const edits = own + 1 + Number(lines[own]);
  const flags = lines[3];
  return {
    exchange: Number(lines[1]), url: lines[2], id: lines[5], streamTypes: lines[6].split(","), total, first, idle, keepalive, lines, edits,
    answerHeaders: parseHeaders(lines, 8, own, { "x-generation-id": lines[5] }),
    headers: parseHeaders(lines, own + 1, edits, {}),
    body: flags.includes("b") ? wasm.take_body() : null,
    private: flags.includes("p"), stream: flags.includes("s"), native: flags.includes("n"), comment: flags.includes("q") ? LINE : COMMENT,
    typed: flags.includes("t"), unread: flags.includes("u"),
  };
}

function parseHeaders(lines, from, to, headers) {
  for (let at = from; at < to; at++) {
    const colon = lines[at].indexOf(": ");
    headers[lines[at].slice(0, colon)] = lines[at].slice(colon + 2);
  }
  return headers;
}

export function send(call, body, env, signal) {
  const init = { method: "POST", headers: call.headers, body: call.body ?? edited(body, call.lines, call.edits), redirect: "manual", signal };
  // Private addresses are reached through a binding of their own; at the edge there are none to reach.
  return call.private && env.PRIVATE_NETWORK !== undefined ? env.PRIVATE_NETWORK.fetch(call.url, init) : fetch(call.url, init);
}

// A call that brought no answer.
export function unreachable(call, error, timedOut) {
  if (error instanceof WebAssembly.RuntimeError) throw error;
  return wasm.failed(call.exchange, timedOut, Date.now());
}

export function retryAfter(response) {
  const seconds = Number(response.headers.get("retry-after") ?? -1);
  return Number.isNaN(seconds) ? -1 : seconds;
}

// A whole answer; nothing where it is too large to be one.
export async function answerBody(response) {
  const declared = Number(response.headers.get("content-length") ?? -1);
  if (declared >= 0 && declared <= MAX_ANSWER) return new Uint8Array(await response.arrayBuffer());
  const parts = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > MAX_ANSWER) return new Uint8Array(0);
    parts.push(part);
  }
  return concat(parts, size);
}

// The bytes with the edits made that stand in `lines` from `at` on: their number, one a line as
// `start,end,length`, then all their texts as one.
function edited(bytes, lines, at) {
  const count = Number(lines[at]);
  if (count === 0) return bytes;
  const texts = utf8.encode(lines[at + count + 1]);
  const parts = [];
  let [from, text] = [0, 0];
  for (let n = at + 1; n <= at + count; n++) {
    const [start, end, length] = lines[n].split(",").map(Number);
    parts.push(bytes.subarray(from, start), texts.subarray(text, text + length));
    text += length;
    from = end;
  }
  parts.push(bytes.subarray(from));
  return concat(parts);
}

export function concat(parts, size = parts.reduce((sum, part) => sum + part.length, 0)) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// R  status  n header*n  body
export function reply(effect) {
  const lines = effect.split("\n");
  const count = Number(lines[2]);
  const headers = parseHeaders(lines, 3, 3 + count, { "content-type": "application/json" });
  // Only an answer that is given again has line feeds.
  return new Response(lines.slice(3 + count).join("\n"), { status: Number(lines[1]), headers });
}

// Without the wasm: it may be what failed.
export function internal(request) {
  const code = (request.headers.get("user-agent") ?? "").includes("openrouter") ? 500 : "internal_error";
  const message = "The gateway failed at this request. Nothing of it was charged; please try again.";
  return Response.json({ error: { message, type: "server_error", param: null, code, metadata: { error_type: "server" } } }, { status: 500 });
}
