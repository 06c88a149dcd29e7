// The native mock upstream and load client (bench/tools): built here, started here, pinned to a core of their own.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { bench, cargoTarget } from "./files.mjs";
import { cores, run, start, until } from "./process.mjs";

const exec = promisify(execFile);
const binary = (name) => join(cargoTarget, "release", name);

/** Builds a package of the benchmark's Rust workspace. */
export function cargo(...args) {
  const env = { ...process.env, CARGO_TARGET_DIR: cargoTarget, WASM_BINDGEN_USE_JS_SYS: "1" };
  // The project's own flags (.cargo/config.toml) are for the gateway; set here, even to nothing, they do not apply.
  env.RUSTFLAGS = "";
  run("cargo", [...args, "--locked", "--manifest-path", join(bench, "Cargo.toml")], { env });
}

export async function startMock() {
  cargo("build", "--release", "-p", "bench-tools");
  const child = start("mock", binary("mock"), [], { role: "tools" });
  let port = 0;
  await until(child, "mock upstream", async () => {
    port = existsSync(child.logPath) ? Number((await readFile(child.logPath, "utf8")).split("\n")[0]) : 0;
    return port > 0;
  });
  return { child, port, pid: child.pid, url: `http://127.0.0.1:${port}` };
}

/** One cell: `load` against `target` (port, pid, request), as the options of bench/tools/src/bin/load.rs. */
export async function load(mock, target, options) {
  const { path, model, answers, headers = [] } = target.request;
  const given = {
    port: target.port, path, model, answers, "target-pid": target.pid ?? 0, "mock-pid": mock.pid, ...options,
  };
  const args = Object.entries(given).filter(([, value]) => value !== undefined).flatMap(([name, value]) => [`--${name}`, String(value)]);
  for (const header of headers) args.push("--header", header);
  const [command, all] = cores ? ["taskset", ["-c", cores.tools, binary("load"), ...args]] : [binary("load"), args];
  const { stdout } = await exec(command, all, { maxBuffer: 1 << 24 });
  return JSON.parse(stdout);
}
