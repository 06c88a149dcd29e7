// The Python side of `npm test`: an interpreter, and venvs with what the tests point at the gateway, made
// again when their requirements or the interpreter have changed: `.venv` with the vendors' SDKs
// (tests/clients/requirements.txt), `.venv-frameworks` with frameworks (tests/clients/frameworks).
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { step } from "../../scripts/lib/steps.mjs";
import { Unable } from "../../scripts/lib/settings.mjs";

// A python3 that is new enough, or null.
export function findPython() {
  return ["python3", "python"].find((name) => spawnSync(name, ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0) ?? null;
}

// The interpreter of the venv with the vendors' SDKs.
export const ensurePython = (root, scratch) => ensureVenv(root, scratch, ".venv", "tests/clients", "the Python SDKs");

// The interpreter of the venv with frameworks.
export const ensureFrameworks = (root, scratch) => ensureVenv(root, scratch, ".venv-frameworks", "tests/clients/frameworks", "the Python frameworks");

async function ensureVenv(root, scratch, name, folder, what) {
  const python = findPython();
  const requirements = join(root, folder, "requirements.txt");
  const venv = join(root, name);
  const inside = join(venv, "bin", "python");
  const stamp = join(venv, "requirements.sha256");
  const version = spawnSync(python, ["-VV"], { encoding: "utf8" }).stdout;
  const inputs = createHash("sha256").update(readFileSync(requirements)).update(version).digest("hex");
  if (existsSync(inside) && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs) return inside;

  if (spawnSync(python, ["-c", "import venv, ensurepip"]).status !== 0) {
    throw new Unable("python3 cannot make a venv; install the rest of it, e.g. apt-get install python3-venv");
  }
  rmSync(venv, { recursive: true, force: true });
  const at = (log) => ({ cwd: root, env: process.env, logFile: join(scratch, `${name.slice(1)}-${log}`) });
  await step(`Making a venv for ${what}`, python, ["-m", "venv", venv], at("make.log"));
  await step(`Installing ${what}`, inside, ["-m", "pip", "install", "--disable-pip-version-check", "--requirement", requirements], at("pip.log"));
  writeFileSync(stamp, inputs);
  return inside;
}
