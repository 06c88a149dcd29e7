// Long steps with progress: what runs, for how long; its output in a log file whose end is shown if
// the step fails.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { Unable } from "./settings.mjs";

const TAIL_LINES = 30;
// Without a terminal to rewrite a line on, a line now and then.
const TICK_MS = process.stdout.isTTY ? 1000 : 20_000;
// A step faster than this is not worth a line.
const QUIET_MS = 700;

export async function step(title, command, args, { cwd, env, logFile }) {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const log = openSync(logFile, "w", 0o600);
  const started = Date.now();
  const elapsed = () => `${((Date.now() - started) / 1000).toFixed(0)} s`;
  let shown = false;
  const show = (text) => {
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    shown = true;
  };
  const first = setTimeout(() => show(`${title} …`), QUIET_MS);
  const ticker = setInterval(() => show(`${title} … ${elapsed()}`), TICK_MS);
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", log, log] });
  const cancel = () => child.kill("SIGTERM");
  process.once("exit", cancel);
  try {
    const [code, signal] = await once(child, "exit");
    if (shown) show(`${title}: ${code === 0 ? "done" : "failed"} after ${elapsed()}${process.stdout.isTTY ? "\n" : ""}`);
    if (code !== 0) throw new Unable(`${title} failed (${signal ?? `status ${code}`}); the end of ${logFile}:\n${tail(logFile)}`);
  } finally {
    clearTimeout(first);
    clearInterval(ticker);
    process.removeListener("exit", cancel);
    closeSync(log);
  }
}

const tail = (file) => readFileSync(file, "utf8").trimEnd().split("\n").slice(-TAIL_LINES).map((line) => `  ${line}`).join("\n");
