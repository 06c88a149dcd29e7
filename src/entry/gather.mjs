// What a call of a provider needs from elsewhere before it can be made: media that the client names by
// address, and access tokens.
import * as wasm from "../../build/bindgen/sluice.js";
import { concat } from "./effects.mjs";

const MEDIUM_MS = 20_000;
const TOKEN_MS = 10_000;
const MOST_REDIRECTS = 3;
const MOST_TOKEN_BYTES = 64 * 1024;
const EMPTY = new Uint8Array(0);

// Gathers and tries on until there is a call to make or an answer. `body`: the client's.
export async function resolve(effect, body, env) {
  while (effect[0] === "N" || effect[0] === "G") {
    const [, number, ...asks] = effect.split("\n");
    const exchange = Number(number);
    await Promise.all(asks.map((ask) => gather(exchange, ask.split("\t"), env)));
    effect = wasm.attempt(exchange, body, Date.now());
  }
  return effect;
}

function gather(exchange, [kind, ...rest], env) {
  return kind === "medium" ? medium(exchange, rest[0], env) : token(exchange, rest, env);
}

async function medium(exchange, url, env) {
  try {
    const { type, bytes } = await download(url, env);
    wasm.learn_medium(exchange, url, type, bytes, undefined);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw error;
    const why = error instanceof Unavailable ? error.message : error?.name === "TimeoutError" ? "it did not come in time" : "its server could not be reached";
    wasm.learn_medium(exchange, url, "", EMPTY, why);
  }
}

class Unavailable extends Error {}

// From public addresses only: the network sees to it for what names resolve to, this function for each
// address on the way that says so itself.
async function download(url, env) {
  const signal = AbortSignal.timeout(MEDIUM_MS);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    if (!wasm.is_public(url)) throw new Unavailable("its address is not a public one");
    const response = await fetch(url, { redirect: "manual", signal, headers: { accept: "*/*" } });
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      url = new URL(response.headers.get("location") ?? "", url).href;
      continue;
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Unavailable(`it answered with status ${response.status}`);
    }
    return { type: response.headers.get("content-type") ?? "", bytes: await bounded(response, wasm.max_medium()) };
  }
  throw new Unavailable("it is redirected too often");
}

async function bounded(response, most) {
  const parts = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > most) throw new Unavailable(`it is larger than ${most >> 20} MiB`);
    parts.push(part);
  }
  return concat(parts, size);
}

// url form [message key]: what is to be signed is signed by RS256, and the form ends with the signature.
async function token(exchange, [url, form, message, key], env) {
  let answer = EMPTY, why;
  try {
    const body = message === undefined ? form : form + (await signature(message, key));
    const init = { method: "POST", body, headers: { "content-type": "application/x-www-form-urlencoded" }, redirect: "manual", signal: AbortSignal.timeout(TOKEN_MS) };
    const response = await (wasm.is_public(url) || env.PRIVATE_NETWORK === undefined ? fetch(url, init) : env.PRIVATE_NETWORK.fetch(url, init));
    answer = (await bounded(response, MOST_TOKEN_BYTES)).slice();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw error;
    why = error?.name ?? "failed";
  }
  wasm.learn_token(exchange, answer, why, Date.now());
}

async function signature(message, key) {
  const bytes = Uint8Array.from(atob(key), (letter) => letter.charCodeAt(0));
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("pkcs8", bytes, algorithm, false, ["sign"]);
  const signed = new Uint8Array(await crypto.subtle.sign(algorithm, imported, new TextEncoder().encode(message)));
  return btoa(String.fromCharCode(...signed)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
