// `npm run fuzz`: the fuzz targets (fuzz/), one after the other.
//
//   npm run fuzz -- [--target T] [--seconds N]   one target or all; N seconds each (30)
//
// It needs cargo and a C++ compiler (libFuzzer is built from source), neither cargo-fuzz nor a nightly compiler: the
// code has no `unsafe` for a sanitizer to watch, and what guides the fuzzer is a stable option of the compiler's. It begins
// with seeds that fuzz/seeds.mjs writes and keeps what it finds in fuzz/corpus; an input that fails is kept in
// fuzz/artifacts. No part of `npm test`: how much it finds depends on how long it runs, and what it draws differs every time.
// An input that failed once becomes a test where the fault was.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { seed } from "../fuzz/seeds.mjs";
import { buildEnvironment } from "./lib/run.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const fuzz = join(root, "fuzz");
const targets = [...readFileSync(join(fuzz, "Cargo.toml"), "utf8").matchAll(/^\[\[bin\]\]\nname = "(\w+)"/gm)].map(([, name]) => name);
const LONGEST_INPUT = 16_384;
const SLOWEST_SECONDS = 10;

const usage = `npm run fuzz -- [--target T] [--seconds N]   targets: ${targets.join(" ")}`;
const { target, seconds } = options();
const chosen = target === undefined ? targets : [target];
const programs = build();
const failed = chosen.filter((name) => !run(name));
console.log(failed.length === 0 ? "\nfuzz: nothing found" : `\nfuzz: failed: ${failed.join(", ")}; the inputs are in fuzz/artifacts`);
process.exitCode = failed.length === 0 ? 0 : 1;

function options() {
  try {
    const { values } = parseArgs({ options: { target: { type: "string" }, seconds: { type: "string", default: "30" } } });
    if (values.target !== undefined && !targets.includes(values.target)) throw new Error(`no target ${values.target}`);
    if (!(Number(values.seconds) >= 1)) throw new Error(`not a number of seconds: ${values.seconds}`);
    return values;
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function host() {
  const { stdout } = spawnSync("rustc", ["-vV"], { encoding: "utf8" });
  return stdout.match(/^host: (.+)$/m)[1];
}

// The folder of the programs. A target named by its triple keeps the flags away from build scripts and macros.
function build() {
  const triple = host();
  const flags = [
    "--cfg=fuzzing", "-Cpasses=sancov-module",
    ...["level=4", "inline-8bit-counters", "pc-table", "trace-compares"].map((name) => `-Cllvm-args=-sanitizer-coverage-${name}`),
    "-Ccodegen-units=1",
  ];
  const env = { ...buildEnvironment("npm run fuzz"), RUSTFLAGS: flags.join(" ") };
  const args = ["build", "--release", "--locked", "--manifest-path", join(fuzz, "Cargo.toml"), "--target", triple];
  const { status } = spawnSync("cargo", args, { env, stdio: "inherit" });
  if (status !== 0) process.exit(1);
  return join(fuzz, "target", triple, "release");
}

function run(name) {
  const [corpus, artifacts] = ["corpus", "artifacts"].map((folder) => join(fuzz, folder, name));
  for (const folder of [corpus, artifacts]) mkdirSync(folder, { recursive: true });
  seed(name, corpus);
  console.log(`\n### ${name}: ${seconds} s, from ${readdirSync(corpus).length} inputs\n`);
  const args = [corpus, `-artifact_prefix=${artifacts}/`, `-max_total_time=${seconds}`, `-max_len=${LONGEST_INPUT}`, `-timeout=${SLOWEST_SECONDS}`, "-print_final_stats=1", "-verbosity=0"];
  return spawnSync(join(programs, name), args, { stdio: "inherit" }).status === 0;
}
