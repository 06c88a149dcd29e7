// The worker's entry. JavaScript owns bytes and waiting, Rust decides: this file performs the effects
// of the request state machine (src/pipeline.rs, packed by src/shell/exports.rs) and holds no policy.
// Everything that is not inference goes to the wasm's own asynchronous handlers.
import { DurableObject } from "cloudflare:workers";
import openapi from "../build/openapi.json";
import * as wasm from "../build/bindgen/sluice.js";

const INFERENCE = new Set(["/v1/chat/completions", "/api/v1/chat/completions"]);
// Answered here, without a key.
const OPEN = new Set(["/health", "/openapi.json", "/v1/openapi.json", "/api/v1/openapi.json"]);
const MAX_BODY = 8 * 1024 * 1024;
const MAX_ANSWER = 64 * 1024 * 1024;
const LONG_BODY = 128 * 1024;
// A stream that is silent for so long, before its first content or later, gets a comment: proxies
// keep it open, and a client that has gone is noticed.
const KEEPALIVE_MS = 10_000;
const TICK_MS = 1_000;
const STORE_MS = 1_000;
const COMMENT = new TextEncoder().encode(": SLUICE PROCESSING\n\n");
const BLANK = new TextEncoder().encode("\n\n");
const [CLOSED, BROKEN, TIMED_OUT, CLIENT_GONE] = [0, 1, 2, 3];

// The wasm instance. A trap (not a panic: those unwind) makes it useless; the next call makes a new
// one. `life` tells whether an exchange belongs to the instance of now.
let life = 0;
let trapped = false;
let configured = false;

function ready(env) {
  if (trapped) {
    wasm.__wbg_reset_state();
    trapped = configured = false;
    life++;
  }
  if (!configured) {
    const texts = Object.fromEntries(Object.entries(env).filter(([, value]) => typeof value === "string"));
    wasm.configure(JSON.stringify(texts), crypto.getRandomValues(new BigUint64Array(1))[0]);
    configured = true;
  }
}

function noteTrap(error) {
  if (error instanceof WebAssembly.RuntimeError) trapped = true;
  console.error(`unexpected: ${error?.stack ?? error}`);
}

export default {
  fetch(request, env, ctx) {
    const path = pathOf(request.url);
    const handling = INFERENCE.has(path) && request.method === "POST" ? infer(request, env, ctx) : other(path, request, env, ctx);
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

function pathOf(url) {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

async function other(path, request, env, ctx) {
  if (request.method === "GET" && OPEN.has(path)) return Response.json(path === "/health" ? { status: "ok" } : openapi);
  try {
    ready(env);
    return await wasm.fetch(request, env, ctx);
  } catch (error) {
    noteTrap(error);
    return internal(request);
  }
}

// --- One inference request -----------------------------------------------------------------------

async function infer(request, env, ctx) {
  let call;
  try {
    ready(env);
    const h = request.headers;
    const head = `${h.get("authorization") ?? ""}\n${h.get("x-api-key") ?? ""}\n${h.get("x-goog-api-key") ?? ""}\n${h.get("x-session-id") ?? ""}\n${
      h.get("x-openrouter-metadata") ?? ""}\n${h.get("x-sluice-stream") ?? ""}\n${h.get("user-agent") ?? ""}\n${h.get("http-referer") ?? ""}\n${
      h.get("x-openrouter-title") ?? h.get("x-title") ?? ""}`;
    const body = await readBody(request);
    if (body === null) return reply(wasm.refuse("too_large", h.get("user-agent") ?? ""));
    let effect = wasm.begin(head, body, Date.now());
    for (let round = 0; effect[0] === "L"; round++) {
      if (round === 4) throw new Error("look-ups do not end");
      await lookUp(effect, env);
      effect = wasm.begin(head, body, Date.now());
    }
    if (effect[0] !== "F") return reply(effect);
    call = parseFetch(effect);
    // Written down while it runs, unless it ends at once or a flush is there to do it.
    const noted = flushing === 0 ? setTimeout(() => commit(env, ctx), NOTE_MS) : undefined;
    refresh(call, env, ctx);
    if (call.stream) return await stream(call, body, env, ctx, noted);
    const response = await whole(call, body, env);
    clearTimeout(noted);
    commit(env, ctx);
    return response;
  } catch (error) {
    noteTrap(error);
    if (call !== undefined && !trapped) wasm.abandon(call.exchange, Date.now());
    return internal(request);
  }
}

// The whole body, or null when it is too large. What is too large is read to its end all the same, up
// to a limit: a client that is still sending does not read the answer.
async function readBody(request) {
  const declared = Number(request.headers.get("content-length") ?? -1);
  if (declared >= 0 && declared <= MAX_BODY) return new Uint8Array(await request.arrayBuffer());
  if (request.body === null) return new Uint8Array(0);
  const parts = [];
  let size = 0;
  for await (const part of request.body) {
    size += part.length;
    if (size <= MAX_BODY) parts.push(part);
    else if (size > MAX_ANSWER) return null;
  }
  return size > MAX_BODY ? null : concat(parts, size);
}

// A request whose answer is one body.
async function whole(call, body, env) {
  for (;;) {
    let effect;
    try {
      const response = await send(call, body, env, AbortSignal.timeout(call.total));
      const answer = wasm.answered(call.exchange, response.status, retryAfter(response), await answerBody(response), Date.now());
      if (answer[0] === ANSWER) return new Response(answer.subarray(1), { headers: { "content-type": "application/json", "x-generation-id": call.id } });
      effect = utf8Text.decode(answer);
    } catch (error) {
      effect = unreachable(call, error, error?.name === "TimeoutError");
    }
    if (effect[0] === "N") effect = wasm.attempt(call.exchange, body, Date.now());
    if (effect[0] === "R") return reply(effect);
    call = parseFetch(effect);
  }
}

function unreachable(call, error, timedOut) {
  if (error instanceof WebAssembly.RuntimeError) throw error;
  return wasm.failed(call.exchange, timedOut, Date.now());
}

// A request whose answer is a stream. Nothing is promised to the client before the first content, so
// that another provider can still take over; but after a while a comment is, to keep it waiting.
async function stream(call, body, env, ctx, noted) {
  const client = { gone: false, abort: null };
  const opening = open(call, body, env, client);
  let timer;
  const waited = new Promise((done) => (timer = setTimeout(done, KEEPALIVE_MS)));
  const opened = await Promise.race([opening, waited]);
  clearTimeout(timer);
  clearTimeout(noted);
  commit(env, ctx);
  if (opened?.effect !== undefined) return reply(opened.effect);
  const { readable, writable } = new IdentityTransformStream();
  ctx.waitUntil(opened === undefined ? late(opening, client, writable, env, ctx) : relay(opened, writable, env, ctx));
  const headers = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-generation-id": call.id };
  return new Response(readable, { headers });
}

// Attempts until a stream has shown content: {call, reader, held, ended, abort, client} or {effect}, or
// neither when the client has gone meanwhile.
async function open(call, body, env, waiting) {
  for (;;) {
    const abort = new AbortController();
    waiting.abort = () => abort.abort();
    const timer = setTimeout(() => abort.abort(), call.first);
    let effect;
    try {
      const response = await send(call, body, env, abort.signal);
      if (response.status !== 200 || !(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
        effect = utf8Text.decode(wasm.answered(call.exchange, response.status, retryAfter(response), await answerBody(response), Date.now()));
      } else {
        const [client, source] = call.native ? response.body.tee() : [null, response.body];
        const reader = source.getReader(call.native ? { mode: "byob" } : undefined);
        const held = [];
        while (effect === undefined) {
          const { done, value } = await (call.native ? reader.read(new Uint8Array(65536)) : reader.read());
          if (done) {
            effect = wasm.failed(call.exchange, false, Date.now());
            break;
          }
          const out = wasm.chunk(call.exchange, value, Date.now());
          if (out.length > 1) held.push(out.subarray(1));
          if (out[0] === 3) effect = wasm.stream_failed(call.exchange, Date.now());
          else if (out[0] > 0) return { call, reader, held, ended: out[0] === 2, abort, client };
        }
        abort.abort();
      }
    } catch (error) {
      if (waiting.gone) {
        wasm.stream_end(call.exchange, CLIENT_GONE, Date.now());
        return {};
      }
      effect = unreachable(call, error, abort.signal.aborted);
    } finally {
      clearTimeout(timer);
    }
    if (effect[0] === "N") effect = wasm.attempt(call.exchange, body, Date.now());
    if (effect[0] !== "F") return { effect };
    call = parseFetch(effect);
  }
}

// The client was promised a stream before anything came.
async function late(opening, client, writable, env, ctx) {
  const writer = writable.getWriter();
  const comment = () => writer.write(COMMENT).catch(() => {
    client.gone = true;
    client.abort();
  });
  const tick = setInterval(comment, KEEPALIVE_MS);
  comment();
  const opened = await opening;
  clearInterval(tick);
  if (opened.call !== undefined) {
    writer.releaseLock();
    return relay(opened, writable, env, ctx);
  }
  if (opened.effect !== undefined) {
    await writer.write(wasm.late_error(opened.effect.split("\n").at(-1))).catch(() => {});
    await writer.close().catch(() => {});
  }
  commit(env, ctx);
}

// From the first content to the end. Beside the bytes runs a watch: time limits, comments in long
// silences, word to the account that the stream is alive.
async function relay({ call, reader, held, ended, abort, client }, writable, env, ctx) {
  const begun = life;
  const watch = { chunks: 0, seen: 0, silent: 0, started: Date.now(), timedOut: false, gone: false, writing: false, comment: null };
  const tick = setInterval(() => {
    // A client that reads slowly is not a provider that is silent.
    watch.silent = watch.writing || watch.chunks !== watch.seen ? 0 : watch.silent + TICK_MS;
    watch.seen = watch.chunks;
    if (watch.silent >= call.idle || Date.now() - watch.started > call.total) {
      watch.timedOut = true;
      abort.abort();
    } else if (watch.silent > 0 && watch.silent % KEEPALIVE_MS === 0) {
      watch.comment?.();
    }
    commit(env, ctx);
  }, TICK_MS);
  let end = CLOSED;
  try {
    if (call.native) await relayNative(call, reader, client, writable, ended, watch, begun);
    else await relayEdited(call, reader, held, writable, ended, watch, begun);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) noteTrap(error);
    end = watch.gone ? CLIENT_GONE : watch.timedOut ? TIMED_OUT : BROKEN;
  }
  clearInterval(tick);
  try {
    // A new instance knows nothing of this stream: the client at least must not take it for whole.
    const tail = begun === life && !trapped ? wasm.stream_end(call.exchange, end, Date.now()) : wasm.late_error(wasm.refuse("", "").split("\n").at(-1));
    if (end !== CLIENT_GONE) {
      const writer = writable.getWriter();
      if (tail.length > 0) await writer.write(tail);
      await writer.close();
    }
  } catch (error) {
    // The client left at the very end: everything was written and settled.
    if (error instanceof WebAssembly.RuntimeError) noteTrap(error);
  }
  commit(env, ctx);
  if (end === CLOSED) await Promise.race([drain(reader), scheduler.wait(1000)]);
  abort.abort();
}

async function relayEdited(call, reader, held, writable, ended, watch, begun) {
  const writer = writable.getWriter();
  watch.comment = () => writer.write(COMMENT).catch(() => {
    watch.gone = true;
    reader.cancel().catch(() => {});
  });
  try {
    watch.writing = true;
    if (held.length > 0) await writer.write(concat(held));
    watch.writing = false;
    while (!ended) {
      const { done, value } = await reader.read();
      if (done) break;
      if (begun !== life) throw new Error("the instance has changed");
      watch.chunks++;
      const out = wasm.chunk(call.exchange, value, 0);
      if (out.length > 1) {
        watch.writing = true;
        await writer.write(out.subarray(1));
        watch.writing = false;
      }
      ended = out[0] >= 2;
    }
    if (watch.gone) throw new Error("the client has gone");
  } catch (error) {
    watch.gone ||= watch.writing;
    throw error;
  } finally {
    watch.comment = null;
    writer.releaseLock();
  }
}

// The bytes flow natively; a copy is read now and then, so that most of its reads bring many chunks.
async function relayNative(call, reader, client, writable, ended, watch, begun) {
  let piped = null;
  const pipe = client.pipeTo(writable, { preventClose: true, preventAbort: true }).then(
    () => (piped = { ok: true }),
    async (error) => {
      // The provider broke off, or the client left? The platform says the same of both; a write tells.
      // What it writes ends a half event, before an error event that may follow.
      const writer = writable.getWriter();
      watch.gone = await writer.write(BLANK).then(() => false, () => true);
      writer.releaseLock();
      piped = { ok: false, error };
      if (watch.gone) await reader.cancel().catch(() => {});
    },
  );
  try {
    let buffer = new Uint8Array(65536);
    for (;;) {
      if (!ended) await scheduler.wait(100);
      const { done, value } = await reader.read(buffer);
      if (done || watch.gone) break;
      if (begun !== life) throw new Error("the instance has changed");
      watch.chunks++;
      if (wasm.chunk(call.exchange, value, Date.now())[0] >= 2) ended = true;
      buffer = new Uint8Array(value.buffer);
    }
  } finally {
    // Until then the writable is the pipe's.
    await pipe;
  }
  if (!piped.ok) throw piped.error;
}

async function drain(reader) {
  try {
    while (!(await reader.read(new Uint8Array(4096))).done);
  } catch {
    // Already closed, which is as good.
  }
}

// --- Performing effects --------------------------------------------------------------------------

// F  exchange url flags total,first,idle id  n header*n  m start,end,length*m  texts
function parseFetch(effect) {
  const lines = effect.split("\n");
  const [total, first, idle] = lines[4].split(",").map(Number);
  const edits = 7 + Number(lines[6]);
  const headers = {};
  for (let at = 7; at < edits; at++) {
    const colon = lines[at].indexOf(": ");
    headers[lines[at].slice(0, colon)] = lines[at].slice(colon + 2);
  }
  const flags = lines[3];
  return {
    exchange: Number(lines[1]), url: lines[2], id: lines[5], total, first, idle, headers, lines, edits,
    private: flags.includes("p"), stream: flags.includes("s"), native: flags.includes("n"),
  };
}

function send(call, body, env, signal) {
  const init = { method: "POST", headers: call.headers, body: edited(body, call.lines, call.edits), redirect: "manual", signal };
  // Private addresses are reached through a binding of their own; at the edge there are none to reach.
  return call.private && env.PRIVATE_NETWORK !== undefined ? env.PRIVATE_NETWORK.fetch(call.url, init) : fetch(call.url, init);
}

function retryAfter(response) {
  const seconds = Number(response.headers.get("retry-after") ?? -1);
  return Number.isNaN(seconds) ? -1 : seconds;
}

async function answerBody(response) {
  if (Number(response.headers.get("content-length") ?? 0) > MAX_ANSWER) {
    await response.body.cancel();
    return new Uint8Array(0);
  }
  return new Uint8Array(await response.arrayBuffer());
}

const ANSWER = "A".charCodeAt(0);
const utf8 = new TextEncoder();
const utf8Text = new TextDecoder();

// The bytes with the edits made that stand in `lines` from `at` on: their number, one a line as
// `start,end,length`, then all their texts as one. A long body is not copied for them but sent in parts.
function edited(bytes, lines, at) {
  const count = Number(lines[at]);
  if (count === 0) return bytes;
  const texts = utf8.encode(lines[at + count + 1]);
  const parts = [];
  let [from, text, size] = [0, 0, bytes.length + texts.length];
  for (let n = at + 1; n <= at + count; n++) {
    const [start, end, length] = lines[n].split(",").map(Number);
    parts.push(bytes.subarray(from, start), texts.subarray(text, text + length));
    size += start - end;
    text += length;
    from = end;
  }
  parts.push(bytes.subarray(from));
  return size < LONG_BODY ? concat(parts, size) : inParts(parts, size);
}

function inParts(parts, size) {
  const { readable, writable } = new FixedLengthStream(size);
  const writer = writable.getWriter();
  // A provider that does not take the body says so by its answer, or by none.
  for (const part of parts) if (part.length > 0) writer.write(part).catch(() => {});
  writer.close().catch(() => {});
  return readable;
}

function concat(parts, size = parts.reduce((sum, part) => sum + part.length, 0)) {
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
function reply(effect) {
  const lines = effect.split("\n");
  const count = Number(lines[2]);
  const headers = { "content-type": "application/json" };
  for (const line of lines.slice(3, 3 + count)) {
    const colon = line.indexOf(": ");
    headers[line.slice(0, colon)] = line.slice(colon + 2);
  }
  return new Response(lines[3 + count], { status: Number(lines[1]), headers });
}

// Without the wasm: it may be what failed.
function internal(request) {
  const code = (request.headers.get("user-agent") ?? "").includes("openrouter") ? 500 : "internal_error";
  const message = "The gateway failed at this request. Nothing of it was charged; please try again.";
  return Response.json({ error: { message, type: "server_error", param: null, code, metadata: { error_type: "server" } } }, { status: 500 });
}

// L  ask*: asks all at once and tells the wasm the answers.
function lookUp(effect, env) {
  return Promise.all(effect.split("\n").slice(1).map(async (ask) => {
    const [kind, name, request] = ask.split("\t");
    const asked = Date.now();
    try {
      if (kind === "kv") wasm.learn_kv(name, (await within(env.KV.get(name))) ?? undefined, Date.now());
      else wasm.learn_account(name, await within(account(env, name).commit(utf8.encode(request))), asked, Date.now());
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      if (kind === "kv") wasm.kv_unavailable(name, String(error), Date.now());
      else wasm.account_unavailable(name, String(error), Date.now());
    }
  }));
}

const account = (env, name) => env.ACCOUNT.get(env.ACCOUNT.idFromName(name));

async function within(promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("no answer in time")), STORE_MS)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function refresh(call, env, ctx) {
  const asks = wasm.refreshes(call.exchange, Date.now());
  if (asks !== undefined) ctx.waitUntil(lookUp(asks, env).catch(noteTrap));
}

// --- Group commit --------------------------------------------------------------------------------

// When the flush of now began; 0 when there is none. Its promise belongs to another request and must
// not be awaited here, and that request may die with it: after a while somebody else takes over.
let flushing = 0;
const MOST_PAUSE_MS = 50;
// A little more than the age at which a running request is written down (metering::OPEN_AFTER_MS).
const NOTE_MS = 60;

function commit(env, ctx) {
  const now = Date.now();
  if (flushing !== 0 && now - flushing < 15_000) return;
  flushing = now;
  ctx.waitUntil(flush(env, now).catch(noteTrap));
}

async function flush(env, mine) {
  for (let failures = 0; flushing === mine && !trapped; ) {
    const batch = wasm.take_batch(Date.now());
    if (batch === undefined) {
      // Requests that run for long are written down too: by this flush, or by their own timer.
      if (!wasm.untold()) break;
      await scheduler.wait(NOTE_MS);
      continue;
    }
    const seq = wasm.batch_number();
    const asked = Date.now();
    try {
      wasm.batch_done(seq, await account(env, "default").commit(batch), asked, Date.now());
      failures = 0;
      // Writing takes at most a tenth of the time, so that busy traffic gathers in larger batches.
      await scheduler.wait(Math.min(9 * Math.max(1, Date.now() - asked), MOST_PAUSE_MS));
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      console.error(`the account took no batch: ${error}`);
      wasm.batch_failed(seq, Date.now());
      await scheduler.wait(Math.min(100 * 2 ** failures++, 5000));
    }
  }
  if (flushing === mine) flushing = 0;
}

// --- Durable Objects -----------------------------------------------------------------------------

// The Rust object behind a Durable Object, made anew when the wasm instance is.
function durable(name, methods) {
  class Durable extends DurableObject {
    #object;
    #life = -1;
    get rust() {
      ready(this.env);
      if (this.#life !== life) {
        this.#object = new wasm[name](this.ctx, this.env);
        this.#life = life;
      }
      return this.#object;
    }
  }
  for (const [method, run] of Object.entries(methods)) {
    Durable.prototype[method] = async function (...args) {
      try {
        return await run.apply(this, args);
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError) noteTrap(error);
        throw error;
      } finally {
        // Rust may have moved the alarm: only `commit` knows what it set.
        if (method !== "commit") this.armed = 0;
      }
    };
  }
  return Durable;
}

const plain = { fetch(request) { return this.rust.fetch(request); }, alarm() { return this.rust.alarm(); } };

export const Account = durable("Account", {
  ...plain,
  // The answer leaves only when what it says is on disk (output gate).
  commit(batch) {
    const answer = this.rust.commit(batch, Date.now());
    const at = answer.indexOf("\n");
    const alarm = Number(answer.slice(0, at));
    if (alarm > 0 && !(this.armed <= alarm && this.armed > Date.now())) {
      this.armed = alarm;
      this.ctx.storage.setAlarm(alarm);
    }
    return answer.slice(at + 1);
  },
});
export const Catalog = durable("Catalog", plain);
