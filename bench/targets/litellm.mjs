// LiteLLM's proxy from PyPI in an environment of its own, one worker, master key set, no database.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bench, work } from "../lib/files.mjs";
import { answers, freePort, has, run, start as spawn, stop, Unavailable, until } from "../lib/process.mjs";

export const id = "litellm";
export const title = "LiteLLM";
export const note = "the proxy from PyPI, one worker, master key, no database";
/** It is ready only after its own health check and needs many seconds to start: not comparable as a first request. */
export const cold = false;

const venv = join(bench, ".venv", "bin");
const key = "sk-bench-master";

export function prepare() {
  if (existsSync(join(venv, "litellm"))) return;
  if (!has("python3")) throw new Unavailable("python3 is not installed");
  run("python3", ["-m", "venv", join(bench, ".venv")]);
  run(join(venv, "pip"), ["install", "--quiet", "-r", join(bench, "requirements.txt")]);
}

export async function start({ mock }) {
  const config = join(work("build", id), "config.json");
  writeFileSync(config, JSON.stringify({
    model_list: [{
      model_name: "bench-model",
      litellm_params: { model: "openai/bench-model", api_base: `${mock.url}/v1`, api_key: "sk-bench" },
    }],
    general_settings: { master_key: key },
  }));
  const port = await freePort();
  const env = { ...process.env, LITELLM_LOG: "ERROR", LITELLM_LOCAL_MODEL_COST_MAP: "True", NO_PROXY: "127.0.0.1" };
  const args = ["--config", config, "--host", "127.0.0.1", "--port", String(port), "--num_workers", "1"];
  const child = spawn(id, join(venv, "litellm"), args, { role: "target", env });
  await until(child, id, () => answers(`http://127.0.0.1:${port}/health/liveliness`), 120);
  return {
    port,
    pid: child.pid,
    version: run(join(venv, "pip"), ["show", "litellm"]).match(/^Version: (.*)/m)[1],
    request: { path: "/v1/chat/completions", model: "bench-model", headers: [`authorization: Bearer ${key}`] },
    stop: () => stop(child),
  };
}
