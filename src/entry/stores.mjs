// What the isolate asks of its stores, and what it tells its account.
import * as wasm from "../../build/bindgen/sluice.js";
import { instance, noteTrap } from "./instance.mjs";

const STORE_MS = 900;

// L  ticket,pause  ask*: asks all at once and tells the wasm the answers. Gives the ticket.
export async function lookUp(effect, env) {
  const [head, ...asks] = effect.split("\n").slice(1);
  const [ticket, pause] = head.split(",").map(Number);
  if (pause > 0) await scheduler.wait(pause);
  await Promise.all(asks.map(async (ask) => {
    const [kind, name, request] = ask.split("\t");
    const asked = Date.now();
    try {
      if (kind === "kv") wasm.learn_kv(name, (await within(env.KV.get(name))) ?? undefined, Date.now());
      else wasm.learn_account(name, await within(account(env, name).commit(new TextEncoder().encode(request))), asked, Date.now());
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      if (kind === "kv") wasm.kv_unavailable(name, String(error), Date.now());
      else wasm.account_unavailable(name, String(error), Date.now());
    }
  }));
  return ticket;
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

// Asks again in the background what is getting old.
export function refresh(call, env, ctx) {
  const asks = wasm.refreshes(call.exchange, Date.now());
  if (asks !== undefined) ctx.waitUntil(lookUp(asks, env).catch(noteTrap));
}

// When the flush of now began; 0 when there is none. Its promise belongs to another request and must
// not be awaited here, and that request may die with it: after a while somebody else takes over.
let flushing = 0;
const TAKE_OVER_MS = 15_000;
const MOST_PAUSE_MS = 50;
// A little more than the age at which a running request is written down (metering::OPEN_AFTER_MS).
const NOTE_MS = 60;

// The account takes who says nothing for 45 s for dead: it records what runs there as lost, and gives
// its places and idempotency keys to others. So a request that waits for its provider has word sent.
const WORD_MS = 5_000;

// Has a request written down if it runs for long (by the flush of now, or by a timer of its own), and
// word of it sent until the function that this gives is called.
export function noteIfLong(env, ctx) {
  const first = isFlushing() ? undefined : setTimeout(() => commit(env, ctx), NOTE_MS);
  const word = setInterval(() => commit(env, ctx), WORD_MS);
  return () => {
    clearTimeout(first);
    clearInterval(word);
  };
}

const isFlushing = () => flushing !== 0 && Date.now() - flushing < TAKE_OVER_MS;

// Sends what there is to send, unless that is being done.
export function commit(env, ctx) {
  if (isFlushing()) return;
  flushing = Date.now();
  ctx.waitUntil(flush(env, flushing).catch(noteTrap));
}

async function flush(env, mine) {
  // The answer leaves first: in a fresh isolate what follows has yet to be compiled.
  await scheduler.wait(0);
  for (let failures = 0; flushing === mine && !instance.trapped; ) {
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
