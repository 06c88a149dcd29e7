// A request whose answer is a stream: opening it, relaying it, and what may happen to it meanwhile.
import * as wasm from "../../build/bindgen/sluice.js";
import { answerBody, concat, parseFetch, reply, retryAfter, send, unreachable } from "./effects.mjs";
import { resolve } from "./gather.mjs";
import { instance, noteTrap } from "./instance.mjs";
import { commit, lookUp } from "./stores.mjs";

const TICK_MS = 1_000;
const utf8 = new TextDecoder();
const BLANK = new TextEncoder().encode("\n\n");
const [CLOSED, BROKEN, TIMED_OUT, CLIENT_GONE] = [0, 1, 2, 3];
// How a stream stands after a chunk (src/shell/exports.rs).
const [ENDED, FAILED, SHORT, CUT] = [2, 3, 4, 5];
const NOTHING = new Uint8Array(0);

// A request whose answer is a stream. Nothing is promised to the client before the first content, so
// that another provider can still take over; but after a while a comment is, to keep it waiting.
export async function stream(call, asked, env, ctx, noted) {
  const client = { gone: false, abort: null, path: asked.path };
  const opening = open(call, asked, env, client);
  let timer;
  const waited = new Promise((done) => (timer = setTimeout(done, call.keepalive)));
  const opened = await Promise.race([opening, waited]);
  clearTimeout(timer);
  if (opened !== undefined) noted();
  commit(env, ctx);
  if (opened?.effect !== undefined) return reply(opened.effect);
  const { readable, writable } = new IdentityTransformStream();
  ctx.waitUntil(opened === undefined ? late(call, opening, client, writable, env, ctx, noted) : relay(opened, client, writable, env, ctx));
  const type = asked.path.includes(":streamGenerateContent") && !asked.path.includes("alt=sse") ? "application/json" : "text/event-stream; charset=utf-8";
  const headers = { ...(opened?.call ?? call).answerHeaders, "content-type": type, "cache-control": "no-cache" };
  return new Response(readable, { headers });
}

// Attempts until a stream has shown content: {call, reader, held, ended, abort, client} or {effect}, or
// neither when the client has gone meanwhile.
async function open(call, asked, env, waiting) {
  for (;;) {
    const abort = new AbortController();
    waiting.abort = () => abort.abort();
    const timer = setTimeout(() => abort.abort(), call.first);
    let effect;
    try {
      const response = await send(call, asked.body, env, abort.signal);
      if (response.status !== 200 || !call.streamTypes.some((type) => (response.headers.get("content-type") ?? "").startsWith(type))) {
        effect = utf8.decode(wasm.answered(call.exchange, response.status, retryAfter(response), await answerBody(response), Date.now()));
      } else {
        const [client, source] = call.native ? response.body.tee() : [null, response.body];
        const reader = source.getReader(call.native ? { mode: "byob" } : undefined);
        const held = [];
        while (effect === undefined) {
          const { done, value } = await (call.native ? reader.read(new Uint8Array(65536)) : reader.read());
          const out = done ? wasm.stream_closed(call.exchange, Date.now()) : wasm.chunk(call.exchange, value, Date.now());
          if (out.length > 1) held.push(out.subarray(1));
          if (out[0] === FAILED) effect = wasm.stream_failed(call.exchange, Date.now());
          else if (out[0] > 0) return { call, reader, held, ended: out[0] === ENDED, abort, client };
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
    effect = await resolve(effect, asked.body, env);
    if (effect[0] !== "F") return { effect };
    call = parseFetch(effect);
  }
}

// The client was promised a stream before anything came. Until it comes, the request may be stopped.
async function late({ exchange, keepalive, comment: silence }, opening, client, writable, env, ctx, noted) {
  const begun = instance.life;
  const writer = writable.getWriter();
  const comment = () => writer.write(silence).catch(() => {
    client.gone = true;
    client.abort();
  });
  const tick = setInterval(() => {
    comment();
    if (begun === instance.life) watchFor(exchange, () => client.abort(), env, ctx);
  }, keepalive);
  comment();
  const opened = await opening.finally(() => {
    clearInterval(tick);
    noted();
  });
  if (opened.call !== undefined) {
    writer.releaseLock();
    return relay(opened, client, writable, env, ctx);
  }
  if (opened.effect !== undefined) {
    await writer.write(wasm.late_error(client.path, opened.effect.split("\n").at(-1))).catch(() => {});
    await writer.close().catch(() => {});
  }
  commit(env, ctx);
}

// From the first content to the end. Beside the bytes runs a watch: time limits, comments in long
// silences, word to the account that the stream is alive.
async function relay({ call, reader, held, ended, abort, client }, { path }, writable, env, ctx) {
  const begun = instance.life;
  const watch = { chunks: 0, seen: 0, silent: 0, started: Date.now(), timedOut: false, gone: false, writing: false, comment: null };
  const tick = setInterval(() => {
    // A client that reads slowly is not a provider that is silent.
    watch.silent = watch.writing || watch.chunks !== watch.seen ? 0 : watch.silent + TICK_MS;
    watch.seen = watch.chunks;
    if (watch.silent >= call.idle || Date.now() - watch.started > call.total) {
      watch.timedOut = true;
      abort.abort();
    } else if (watch.silent > 0 && watch.silent % call.keepalive === 0) {
      watch.comment?.();
    }
    if (begun === instance.life) watchFor(call.exchange, () => abort.abort(), env, ctx);
    commit(env, ctx);
  }, TICK_MS);
  let end = CLOSED;
  try {
    const look = (chunk) => {
      if (begun !== instance.life) throw new Error("the instance has changed");
      watch.chunks++;
      const out = wasm.chunk(call.exchange, chunk, Date.now());
      if (out[0] === CUT) abort.abort();
      return out;
    };
    // Asks for more of a budget, and says how the stream stands then.
    const more = async () => {
      const asks = wasm.more(call.exchange, Date.now());
      if (asks !== undefined) await lookUp(asks, env);
      return look(NOTHING)[0];
    };
    if (call.native) await relayNative(reader, client, writable, ended, watch, look, more);
    else await relayEdited(reader, held, call.comment, writable, ended, watch, look, more);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) noteTrap(error);
    end = watch.gone ? CLIENT_GONE : watch.timedOut ? TIMED_OUT : BROKEN;
  }
  clearInterval(tick);
  try {
    // A new instance knows nothing of this stream: the client at least must not take it for whole.
    const tail = begun === instance.life && !instance.trapped ? wasm.stream_end(call.exchange, end, Date.now()) : wasm.late_error(path, wasm.refuse("", path, "").split("\n").at(-1));
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

// Ends a stream that was stopped, and asks what the next look will need.
function watchFor(exchange, end, env, ctx) {
  if (wasm.stopped(exchange, Date.now())) end();
  const asks = wasm.watch(exchange, Date.now());
  if (asks !== undefined) ctx.waitUntil(lookUp(asks, env).catch(noteTrap));
}

async function relayEdited(reader, held, comment, writable, ended, watch, look, more) {
  const writer = writable.getWriter();
  watch.comment = () => writer.write(comment).catch(() => {
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
      const out = look(value);
      if (out.length > 1) {
        watch.writing = true;
        await writer.write(out.subarray(1));
        watch.writing = false;
      }
      const stands = out[0] === SHORT ? await more() : out[0];
      ended = stands === ENDED || stands === FAILED || stands === CUT;
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
async function relayNative(reader, client, writable, ended, watch, look, more) {
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
      let stands = look(value)[0];
      if (stands === SHORT) stands = await more();
      ended ||= stands === ENDED || stands === FAILED || stands === CUT;
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
