// `npm run check`: what has to hold before a change goes in. Formatting, lints for both targets, all
// tests, and the size of what is deployed.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { buildEnvironment } from "./lib/run.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const MAX_GZIPPED_BYTES = 1_500_000;
const env = buildEnvironment("npm run check");

const steps = [
  ["formatting", "cargo", ["fmt", "--all", "--check"]],
  ["lints, native", "cargo", ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]],
  ["lints, wasm32", "cargo", ["clippy", "--locked", "--lib", "--target", "wasm32-unknown-unknown", "--", "-D", "warnings"]],
  ["tests", process.execPath, [join("scripts", "test.mjs")]],
];

const failed = [];
for (const [name, program, args] of steps) {
  console.log(`\n### ${name}: ${program === process.execPath ? "node" : program} ${args.join(" ")}\n`);
  const { status, error } = spawnSync(program, args, { cwd: root, env, stdio: "inherit" });
  if (error) console.error(`check: ${error.code === "ENOENT" ? `${program} is not installed; install Rust from https://rustup.rs` : error.message}`);
  if (status !== 0) failed.push(name);
}

// After the tests, which build the gateway.
try {
  const bytes = ["worker.mjs", "sluice.wasm"].reduce((sum, name) => sum + gzipSync(readFileSync(join(root, "build", name)), { level: 9 }).length, 0);
  console.log(`\n### size: ${bytes} bytes gzipped, of at most ${MAX_GZIPPED_BYTES}`);
  if (bytes > MAX_GZIPPED_BYTES) failed.push("size");
} catch (error) {
  console.error(`check: the gateway is not built: ${error.message}`);
  failed.push("size");
}

console.log(failed.length === 0 ? "\ncheck: all is well" : `\ncheck: failed: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
