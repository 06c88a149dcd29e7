// Small things that tests share.
import { mkdtempSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

export const scratch = () => mkdtempSync(join(tmpdir(), "sluice-test-"));

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// A port nobody listens on.
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Waits until `check` returns something other than undefined or false, and returns that.
export async function eventually(what, check, seconds = 15) {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`in ${seconds} s never: ${what}`);
    await pause(50);
  }
}

// Words that stand for what must not appear in logs, records and errors. Prompts and answers of the
// tests hold them; every gateway's output is searched for them when it is stopped.
export const PROMPT = "canary-prompt-7f3a";
export const ANSWER = "canary-answer-91bc";
export const CREDENTIAL = "canary-credential-c4d2";
export const CANARIES = [PROMPT, ANSWER, CREDENTIAL];
