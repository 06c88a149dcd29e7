// `npm test`: everything. Gets ready what is missing (npm packages, the built gateway, Python venvs
// with the vendors' SDKs and with frameworks), runs the suites in order, and ends with one line that counts them all.
//
//   npm test                              all suites
//   npm test -- --only native,clients     some of them
//
// Needs cargo (rustup), node 20 or newer with npm, and python3. Imports nothing that npm must install.
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildEnvironment, nodeBinary, prepare } from "./lib/run.mjs";
import { Unable } from "./lib/settings.mjs";
import { step } from "./lib/steps.mjs";
import { runSuite, total } from "../tests/support/run-suite.mjs";
import { suites } from "../tests/support/suites.mjs";
import { ensureFrameworks, ensurePython, findPython } from "../tests/support/python.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
// Logs of the preparing steps, and the answers that tests record for the check against openapi.yaml.
const scratch = join(root, "target", "npm-test");

try {
  const chosen = choose(process.argv.slice(2));
  checkPrerequisites(chosen);
  mkdirSync(scratch, { recursive: true });
  const wants = (need) => chosen.some((suite) => suite.needs.includes(need));
  if (wants("build") || wants("packages")) await prepare({ state: scratch }, "npm test");
  const sdks = wants("sdks") ? await ensurePython(root, scratch) : null;
  const frameworks = wants("frameworks") ? await ensureFrameworks(root, scratch) : null;
  if (frameworks !== null) await ensurePackages(join(root, "tests", "clients", "frameworks"));

  const recordings = join(scratch, "recordings");
  rmSync(recordings, { recursive: true, force: true });
  mkdirSync(recordings, { recursive: true });
  const context = {
    root, cargo: "cargo", node: nodeBinary(), python: findPython(), sdks, frameworks,
    env: { ...buildEnvironment("npm test"), SLUICE_RECORDINGS: recordings },
  };
  const results = [];
  for (const suite of chosen) results.push(await runSuite(suite, context));
  process.exitCode = total(results);
} catch (error) {
  if (!(error instanceof Unable)) throw error;
  console.error(`test: ${error.message}`);
  process.exitCode = 1;
}

// The npm packages of a folder, as its lock file has them.
async function ensurePackages(folder) {
  const installed = join(folder, "node_modules", ".package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(folder, "package-lock.json")).mtimeMs) return;
  const npm = process.env.npm_execpath;
  const [program, args] = npm === undefined ? ["npm", []] : [process.execPath, [npm]];
  await step("Installing the frameworks' npm packages", program, [...args, "ci", "--no-audit", "--no-fund"], { cwd: folder, env: process.env, logFile: join(scratch, "frameworks-install.log") });
}

function choose(args) {
  if (args.length === 0) return suites;
  const [flag, list, ...rest] = args[0].startsWith("--only=") ? ["--only", args[0].slice(7), ...args.slice(1)] : args;
  const names = suites.map(({ name }) => name);
  if (flag !== "--only" || list === undefined || rest.length > 0) throw new Unable(`usage: npm test -- [--only ${names.join(",")}]`);
  const wanted = list.split(",");
  for (const name of wanted) if (!names.includes(name)) throw new Unable(`there is no suite "${name}"; there are ${names.join(", ")}`);
  return suites.filter(({ name }) => wanted.includes(name));
}

// One line for the first thing that is missing.
function checkPrerequisites(chosen) {
  const [major] = process.versions.node.split(".").map(Number);
  if (major < 20) throw new Unable(`Node ${process.versions.node} is too old; install Node 20 or newer (https://nodejs.org)`);
  if (findPython() === null && chosen.some(({ needs }) => ["python", "sdks", "frameworks"].some((need) => needs.includes(need)))) {
    throw new Unable("python3 (3.9 or newer) is not installed; install it, e.g. apt-get install python3 python3-venv");
  }
  // Where cargo is not on the PATH, rustup's usual folder is looked at too.
  if (!hasCargo()) throw new Unable("cargo is not installed; install Rust from https://rustup.rs");
}

function hasCargo() {
  return buildEnvironment("npm test").PATH.split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, "cargo")));
}
