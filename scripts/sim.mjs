// `npm run sim`: the deterministic simulation (docs/simulation.md).
//
//   npm run sim -- [--seeds N] [--steps S] [--seed K] [--coverage]   N seeds from K on
//   npm run sim -- --bugs                                            every planted bug; writes their table to docs/simulation.md
//   npm run sim -- --suite                                           what `npm test` runs: past seeds, many seeds, the same in wasm
//
// Needs cargo, and node 22 for the last (from the npm packages).
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildEnvironment, nodeBinary } from "./lib/run.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const env = buildEnvironment("npm run sim");
// As many as two cores run in about five minutes.
const SEEDS_OF_SUITE = 1_200;
const STEPS_OF_SUITE = 20_000;
const SEEDS_IN_WASM = "1,2,3,4,5,6,7,8";
const STEPS_IN_WASM = "2000";

const args = process.argv.slice(2);
cargo(["build", "--quiet", "--locked", "--profile", "sim", "-p", "sluice-sim", "--bin", "sim"]);
const binary = join(root, "target", "sim", "sim");
if (args.includes("--suite")) suite();
else if (args.includes("--bugs")) bugs();
else process.exitCode = spawnSync(binary, args, { stdio: "inherit" }).status ?? 1;

function cargo(args, changes = {}) {
  const { status } = spawnSync("cargo", args, { cwd: root, env: { ...env, ...changes }, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

function output(program, args) {
  const { status, stdout } = spawnSync(program, args, { cwd: root, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28 });
  process.stdout.write(stdout);
  return { good: status === 0, stdout };
}

function suite() {
  const results = {
    "past seeds": output(binary, ["--past", join(root, "tests", "sim", "seeds.txt")]).good,
    [`${SEEDS_OF_SUITE} seeds of ${STEPS_OF_SUITE} steps`]: output(binary, ["--seeds", `${SEEDS_OF_SUITE}`, "--steps", `${STEPS_OF_SUITE}`]).good,
    "native and wasm go the same way": same(),
  };
  for (const [name, good] of Object.entries(results)) console.log(`test ${name} ... ${good ? "ok" : "FAILED"}`);
  const failed = Object.values(results).filter((good) => !good).length;
  console.log(`test result: ${failed === 0 ? "ok" : "FAILED"}. ${Object.keys(results).length - failed} passed; ${failed} failed; 0 ignored`);
  process.exitCode = failed === 0 ? 0 : 1;
}

// Builds the simulator as wasm and compares the hashes of a few traces.
function same() {
  const out = join(root, "target", "sim-wasm");
  cargo(["build", "--quiet", "--locked", "--profile", "sim", "-p", "sluice-sim", "--lib", "--target", "wasm32-unknown-unknown"]);
  cargo(["run", "--quiet", "--locked", "-p", "xtask", "--", "bindgen", join(root, "target/wasm32-unknown-unknown/sim/sluice_sim.wasm"), out]);
  const native = output(binary, ["--hashes", SEEDS_IN_WASM, "--steps", STEPS_IN_WASM]);
  const wasm = output(nodeBinary(), ["--disable-warning=ExperimentalWarning", join(root, "scripts", "sim", "wasm.mjs"), out, SEEDS_IN_WASM, STEPS_IN_WASM]);
  return native.good && wasm.good && native.stdout.length > 0 && native.stdout === wasm.stdout;
}

function bugs() {
  const { good, stdout } = output(binary, ["--bugs", ...args.filter((arg) => arg !== "--bugs")]);
  const file = join(root, "docs", "simulation.md");
  const text = readFileSync(file, "utf8");
  const [before, after] = [text.indexOf("<!-- bugs -->"), text.indexOf("<!-- end of bugs -->")];
  writeFileSync(file, `${text.slice(0, before)}<!-- bugs -->\n\n${stdout.trim()}\n\n${text.slice(after)}`);
  process.exitCode = good ? 0 : 1;
}
