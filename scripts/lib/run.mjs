// `npm start` and `npm run serve`: gets everything ready, starts the gateway, keeps it running until
// told to stop. The two differ in what they print. Imports nothing that npm must install first.
import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { alive, commandLine, parentOf } from "./processes.mjs";
import { Unable, readSettings } from "./settings.mjs";
import { step } from "./steps.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

// command: what the operator typed; ready(running, settings): prints what a started gateway has to say.
// The rest is for tests: a gateway built elsewhere.
export async function run({ command, ready, build, wrangler = join(root, "wrangler.toml") }) {
  const say = (line) => console.log(`sluice: ${line}`);
  let running = null;
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    if (running !== null) await running.stop();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
  whenNpmEnds(stop);
  try {
    const settings = readSettings(root);
    if (build === undefined) await prepare(settings, command);
    const { supervise } = await import("./supervisor.mjs");
    const started = await supervise({
      settings, root, wrangler, command, node: nodeBinary(), say,
      build: build ?? join(root, "build"),
    });
    running = started;
    ready(started, settings);
  } catch (error) {
    if (!stopping) {
      console.error(error instanceof Unable ? `sluice: ${error.message}` : error);
      process.exit(1);
    }
  }
}

// npm killed outright leaves its script running, out of reach of a Ctrl-C; so we watch npm. Between it
// and us there may be the shell that npm gives its scripts to.
function whenNpmEnds(stop) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const npm = / -c .*\.mjs/.test(commandLine(parent)) ? parentOf(parent) : parent;
  setInterval(() => (process.ppid !== parent || !alive(npm)) && stop(), 500).unref();
}

export async function prepare(settings, command) {
  const [major] = process.versions.node.split(".").map(Number);
  if (major < 18) throw new Unable(`Node ${process.versions.node} is too old; install Node 20 or newer (https://nodejs.org) and run ${command} again`);
  const log = (name) => join(settings.state, name);
  if (packagesMissing()) {
    const npm = process.env.npm_execpath;
    const [program, args] = npm === undefined ? ["npm", []] : [process.execPath, [npm]];
    await step("Installing the pinned npm packages", program, [...args, "ci", "--no-audit", "--no-fund"], { cwd: root, env: process.env, logFile: log("install.log") });
  }
  await step("Building the gateway", nodeBinary(), [join(root, "scripts", "build.mjs")], { cwd: root, env: buildEnvironment(command), logFile: log("build.log") });
}

function packagesMissing() {
  const installed = join(root, "node_modules", ".package-lock.json");
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, "package-lock.json")).mtimeMs;
}

// Cargo is often installed but not on the PATH of a shell opened before that.
export function buildEnvironment(command) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin")];
  const found = folders.find((folder) => existsSync(join(folder, "cargo")));
  if (found === undefined && !existsSync(join(root, "build", "worker.mjs"))) {
    throw new Unable(`cargo is not installed; install Rust from https://rustup.rs and run ${command} again`);
  }
  return { ...process.env, PATH: found === undefined ? process.env.PATH : [found, process.env.PATH].join(delimiter) };
}

// The pinned node from npm where it is there, else the one running this.
export function nodeBinary() {
  const pinned = join(root, "node_modules", ".bin", "node");
  return existsSync(pinned) ? pinned : process.execPath;
}
