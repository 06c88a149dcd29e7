// Starting, pinning and ending processes. Ends only what it started, and ends all of that when the benchmark ends.

import { spawn, spawnSync } from "node:child_process";
import { openSync, closeSync, readFileSync, existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root, work } from "./files.mjs";

const running = new Set();
// Asked, not killed: what has processes of its own (nginx, the gateway's command) ends them first.
process.on("exit", () => running.forEach((child) => child.kill("SIGTERM")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

/** Reason for leaving a target out, to be shown to the reader. */
export class Unavailable extends Error {}

/** One core for the target, another for mock and load client; no pinning where that cannot be. */
export const cores = availableParallelism() >= 2 && has("taskset") ? { target: "0", tools: "1" } : null;

export function has(command) {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
}

/** Runs to the end and returns stdout; a failure is a reason, with the tail of stderr. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28, ...options });
  if (result.status === 0) return result.stdout;
  const why = result.error?.message ?? (result.stderr ?? "").trim().split("\n").slice(-6).join("\n");
  throw new Unavailable(`${[command, ...args.slice(0, 2)].join(" ")} failed: ${why}`);
}

/** Starts a process on the cores of `role`, its output in build/bench/log/<name>.log. */
export function start(name, command, args, { role, ...options }) {
  const path = join(work("log"), `${name}.log`);
  const log = openSync(path, "w");
  if (cores) [command, args] = ["taskset", ["-c", cores[role], command, ...args]];
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", log, log], ...options });
  closeSync(log);
  running.add(child);
  child.ended = new Promise((resolve) => {
    child.once("exit", resolve);
    child.once("error", resolve);
  }).then(() => running.delete(child));
  child.logPath = path;
  return child;
}

export async function stop(child, patience = 3000) {
  if (!running.has(child)) return;
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), patience);
  await child.ended;
  clearTimeout(late);
}

function fail(child, what) {
  const log = existsSync(child.logPath) ? readFileSync(child.logPath, "utf8").trim().split("\n").slice(-8).join("\n") : "";
  return new Unavailable(`${what}; its log ends:\n${log}`);
}

/** Waits until `ready` answers true, or fails with the end of the child's log. */
export async function until(child, what, ready, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    if (!running.has(child)) throw fail(child, `${what}: the process ended`);
    if (await ready()) return;
    await sleep(2);
  }
  throw fail(child, `${what}: not ready after ${seconds} s`);
}

export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true) || socket.destroy());
    socket.once("error", () => resolve(false));
  });
}

export async function answers(url) {
  return fetch(url, { signal: AbortSignal.timeout(2000) }).then((answer) => answer.ok, () => false);
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
