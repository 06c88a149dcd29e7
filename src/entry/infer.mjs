// One inference request, from its head to its answer.
import * as wasm from "../../build/bindgen/sluice.js";
import { MAX_BODY, MAX_SOUND, answerBody, internal, parseFetch, readBody, reply, retryAfter, send, unreachable } from "./effects.mjs";
import { resolve } from "./gather.mjs";
import { instance, noteTrap, ready } from "./instance.mjs";
import { commit, lookUp, noteIfLong, refresh } from "./stores.mjs";
import { stream } from "./stream.mjs";

// A request that waits for its budget, or for answers to another's questions, comes back every 20 to 200 ms.
const MOST_ROUNDS = 1000;
const ANSWER = "A".charCodeAt(0);
const EMPTY = new Uint8Array(0);
// What is no sound, whatever its status.
const WORDS = /^(?:text\/|application\/(?:[a-z]+\+)?(?:json|xml))/i;
const utf8 = new TextDecoder();

export async function infer(request, env, ctx) {
  let call, noted;
  const path = request.url.slice(request.url.indexOf("/", request.url.indexOf("://") + 3));
  try {
    ready(env);
    const h = request.headers;
    const head = `${decodePath(path)}\n${h.get("anthropic-beta") ?? ""}\n${h.get("content-type") ?? ""}\n${keyOf(h, path)}\n${h.get("x-api-key") ?? ""}\n${h.get("x-goog-api-key") ?? ""}\n${h.get("x-session-id") ?? ""}\n${
      h.get("x-openrouter-metadata") ?? ""}\n${h.get("x-sluice-stream") ?? ""}\n${h.get("idempotency-key") ?? ""}\n${h.get("user-agent") ?? ""}\n${h.get("http-referer") ?? ""}\n${
      h.get("x-openrouter-title") ?? h.get("x-title") ?? ""}`;
    const body = await readBody(request, path.includes("/audio/transcriptions") ? MAX_SOUND : MAX_BODY);
    if (body === null) return reply(wasm.refuse("too_large", path, h.get("user-agent") ?? ""));
    let effect = wasm.begin(head, body, 0, Date.now());
    for (let round = 0; effect[0] === "L"; round++) {
      if (round === MOST_ROUNDS) throw new Error("look-ups do not end");
      effect = wasm.begin(head, body, await lookUp(effect, env), Date.now());
    }
    const asked = { path: decodePath(path), body };
    effect = await resolve(effect, asked.body, env);
    if (effect[0] !== "F") {
      // What was handed out for it goes back; and who is refused because nothing can be written has to
      // see to it that this is tried again.
      commit(env, ctx);
      return reply(effect);
    }
    call = parseFetch(effect);
    noted = noteIfLong(env, ctx);
    refresh(call, env, ctx);
    if (call.stream) return await stream(call, asked, env, ctx, noted);
    const response = await whole(call, asked, env);
    noted();
    commit(env, ctx);
    return response;
  } catch (error) {
    noted?.();
    noteTrap(error);
    if (call !== undefined && !instance.trapped) wasm.abandon(call.exchange, Date.now());
    return internal(request);
  }
}

// Slugs in Gemini's paths may come encoded.
function decodePath(path) {
  try {
    return path.includes("%") ? decodeURIComponent(path).replaceAll("\n", "") : path;
  } catch {
    return path;
  }
}

// Gemini's clients may send their key in the address.
function keyOf(headers, path) {
  const given = headers.get("authorization");
  if (given !== null || !path.includes("key=")) return given ?? "";
  const key = new URLSearchParams(path.slice(path.indexOf("?") + 1)).get("key");
  return key === null ? "" : `Bearer ${key.replaceAll("\n", "")}`;
}

// A request whose answer is one body.
async function whole(call, asked, env) {
  for (;;) {
    let effect;
    try {
      const response = await send(call, asked.body, env, AbortSignal.timeout(call.total));
      const unread = call.unread && response.status === 200 && !WORDS.test(response.headers.get("content-type") ?? "");
      const answer = wasm.answered(call.exchange, response.status, retryAfter(response), unread ? EMPTY : await answerBody(response), Date.now());
      if (answer[0] === ANSWER) {
        const type = (call.typed && response.headers.get("content-type")) || "application/json";
        return new Response(unread ? response.body : answer.subarray(1), { headers: { ...call.answerHeaders, "content-type": type } });
      }
      effect = utf8.decode(answer);
    } catch (error) {
      effect = unreachable(call, error, error?.name === "TimeoutError");
    }
    effect = await resolve(effect, asked.body, env);
    if (effect[0] === "R") return reply(effect);
    call = parseFetch(effect);
  }
}
