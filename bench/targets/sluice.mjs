// Sluice as `npm run serve` starts it, the full path: key check, routing, metering, usage event. Its state is fresh,
// its provider and model are registered through the admin API, and the process measured is workerd.

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root, work } from "../lib/files.mjs";
import { accepts, answers, freePort, start as spawn, stop, Unavailable, until } from "../lib/process.mjs";
import { size } from "../lib/workerd.mjs";

const serve = join(root, "scripts", "serve.mjs");
const node = join(root, "node_modules", ".bin", "node");
const state = join(work("build", "sluice"), "state");
const model = "bench/model";

/** The prepared gateway with the command line and environment of its workerd. */
let bare;

export const sluice = {
  id: "sluice",
  title: "Sluice",
  note: "full path: key, routing, metering, usage event; cost edited into every stream",
  cold: true,

  /** Makes a fresh state with the mock as the only provider. */
  async prepare({ mock }) {
    if (!existsSync(serve)) throw new Unavailable("scripts/serve.mjs is not there yet");
    rmSync(state, { recursive: true, force: true });
    const gateway = await launch();
    await register(gateway, mock);
    bare = { ...gateway, ...commandOf(gateway.pid) };
    await gateway.stop();
  },

  /** workerd alone, as the command had started it: the command itself asks for /health, and a first request would be the second. */
  async fresh() {
    const [command, ...args] = bare.command;
    const child = spawn("sluice-fresh", command, args, { role: "target", env: bare.env });
    await until(child, "sluice", () => accepts(bare.port));
    return { port: bare.port, pid: child.pid, request: request(bare), stop: () => stop(child) };
  },

  async start() {
    const gateway = await launch();
    return {
      port: gateway.port,
      pid: gateway.pid,
      size: size(["worker.mjs", "sluice.wasm"].map((name) => join(root, "build", name))),
      version: JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version,
      request: request(gateway),
      stop: gateway.stop,
    };
  },
};

/** The same process, asked for streams as the provider sends them. */
export const sluiceNative = {
  id: "sluice-native",
  title: "Sluice, native streams",
  note: "the same process, streams passed on unedited at the request's wish (`X-Sluice-Stream: native`)",
  streamsOnly: true,
  modeOf: "sluice",
  mode: (running) => ({ ...running, request: { ...running.request, headers: [...running.request.headers, "x-sluice-stream: native"] } }),
};

const request = ({ credentials }) => ({
  path: "/v1/chat/completions",
  model,
  headers: [`authorization: Bearer ${credentials.inference_key}`],
});

function commandOf(pid) {
  const read = (file) => readFileSync(`/proc/${pid}/${file}`, "utf8").split("\0").filter(Boolean);
  const env = read("environ").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  return { command: read("cmdline"), env: Object.fromEntries(env) };
}

async function launch() {
  const port = await freePort();
  const files = { credentials: join(state, "credentials.json"), pid: join(state, "gateway.pid") };
  rmSync(files.pid, { force: true });
  const env = { ...process.env, PORT: String(port), SLUICE_STATE: state, SLUICE_DEMO: "0" };
  for (const name of Object.keys(env)) if (/_API_KEY$/.test(name)) delete env[name];
  const child = spawn("sluice", node, [serve], { role: "target", env });
  // The first start may build the gateway; its workerd opens the port.
  await until(child, "sluice", async () => existsSync(files.credentials) && existsSync(files.pid) && await accepts(port), 600);
  const pid = Number(readFileSync(files.pid, "utf8"));
  const credentials = JSON.parse(readFileSync(files.credentials, "utf8"));
  return { port, pid, credentials, stop: () => end(child, pid) };
}

/** Ends the command and makes sure that its workerd is gone too, so that the state is free for the next start. */
async function end(child, pid) {
  await stop(child);
  for (let waited = 0; existsSync(`/proc/${pid}`) && waited < 2000; waited += 50) await sleep(50);
  if (existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
}

async function register({ port, credentials }, mock) {
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; !(await answers(`${url}/health`)); tries++) {
    if (tries > 100) throw new Unavailable("GET /health does not answer 200");
    await sleep(100);
  }
  const put = async (resource, body) => {
    const answer = await fetch(`${url}/v1/admin/${resource}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${credentials.management_key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Unavailable(`PUT /v1/admin/${resource} answered ${answer.status}: ${await answer.text()}`);
  };
  await put("providers/mock", {
    name: "Mock",
    dialect: "openai",
    base_url: `${mock.url}/v1`,
    credential: { type: "bearer", value: "sk-bench" },
    allow_private_network: true,
  });
  await put(`models/${model}`, {
    name: "Bench",
    context_length: 1_000_000,
    endpoints: [{
      provider: "mock",
      upstream_model: "bench-model",
      pricing: { prompt: "0.0000025", completion: "0.00001" },
      context_length: 1_000_000,
      max_completion_tokens: 16_384,
    }],
  });
}
