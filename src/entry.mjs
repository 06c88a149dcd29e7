// The worker's entry. JavaScript owns bytes and waiting, Rust decides: the files in entry/ perform the
// effects of the request state machine (src/pipeline.rs, packed by src/shell/exports.rs) and hold no
// policy. Everything that is not inference goes to the wasm's own asynchronous handlers.
import openapi from "../build/openapi.json";
import * as wasm from "../build/bindgen/sluice.js";
import { internal } from "./entry/effects.mjs";
import { infer } from "./entry/infer.mjs";
import { noteTrap, ready } from "./entry/instance.mjs";

export { Account, Catalog } from "./entry/objects.mjs";

const INFERENCE = new Set(
  [
    "chat/completions", "completions", "responses", "messages", "messages/count_tokens", "embeddings", "rerank", "moderations",
    "images/generations", "audio/speech", "audio/transcriptions", "route",
  ].flatMap((path) => [`/v1/${path}`, `/api/v1/${path}`]),
);
// Gemini's: the model and what is asked of it stand in the path.
const GEMINI = /^(?:\/api)?\/v1(?:(?:alpha|beta)?\/models|alpha|beta)\/.+:(?:generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)$/;
// Answered here, without a key.
const OPEN = new Set(["/health", "/openapi.json", "/v1/openapi.json", "/api/v1/openapi.json"]);

export default {
  fetch(request, env, ctx) {
    const path = pathOf(request.url);
    const isInference = request.method === "POST" && (INFERENCE.has(path) || GEMINI.test(path));
    const handling = isInference ? infer(request, env, ctx) : other(path, request, env, ctx);
    // Run to completion: a client that leaves must not stop the accounting.
    ctx.waitUntil(handling);
    return handling;
  },
  async queue(batch, env, ctx) {
    ready(env);
    try {
      await wasm.queue(batch, env, ctx);
    } catch (error) {
      noteTrap(error);
      throw error;
    }
  },
};

// The path, as it is in the address.
function pathOf(url) {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

const json = (text) => new Response(text, { headers: { "content-type": "application/json" } });

async function other(path, request, env, ctx) {
  if (request.method === "GET" && OPEN.has(path)) return json(path === "/health" ? '{"status":"ok"}' : openapi);
  try {
    ready(env);
    return await wasm.fetch(request, env, ctx);
  } catch (error) {
    noteTrap(error);
    return internal(request);
  }
}
