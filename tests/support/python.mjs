// The Python side of `npm test`: an interpreter, and a venv `.venv` with the vendors' SDKs, made again
// when tests/clients/requirements.txt or the interpreter has changed.
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

// The venv's interpreter.
export async function ensurePython(root, scratch) {
  const python = findPython();
  const requirements = join(root, "tests", "clients", "requirements.txt");
  const venv = join(root, ".venv");
  const inside = join(venv, "bin", "python");
  const stamp = join(venv, "requirements.sha256");
  const version = spawnSync(python, ["-VV"], { encoding: "utf8" }).stdout;
  const inputs = createHash("sha256").update(readFileSync(requirements)).update(version).digest("hex");
  if (existsSync(inside) && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs) return inside;

  if (spawnSync(python, ["-c", "import venv, ensurepip"]).status !== 0) {
    throw new Unable("python3 cannot make a venv; install the rest of it, e.g. apt-get install python3-venv");
  }
  rmSync(venv, { recursive: true, force: true });
  const at = (name) => ({ cwd: root, env: process.env, logFile: join(scratch, name) });
  await step("Making the Python venv", python, ["-m", "venv", venv], at("venv.log"));
  await step("Installing the Python SDKs", inside, ["-m", "pip", "install", "--disable-pip-version-check", "--requirement", requirements], at("pip.log"));
  writeFileSync(stamp, inputs);
  return inside;
}
