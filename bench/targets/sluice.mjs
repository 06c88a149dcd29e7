// Sluice as `npm run serve` starts it, the full path: key check, routing, metering, usage event. Its state is fresh,
// its provider and model are registered through the admin API, and the process measured is workerd. `sluiceBudgets`
// is a second one, with a state of its own, where every request is charged to budgets and limits on three levels.

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root, work } from "../lib/files.mjs";
import { accepts, answers, freePort, start as spawn, stop, Unavailable, until } from "../lib/process.mjs";
import { size } from "../lib/workerd.mjs";

const command = join(root, "scripts", "serve.mjs");
const node = join(root, "node_modules", ".bin", "node");
const model = "bench/model";
const translatedModel = "bench/translated";

/** The prepared gateway with the command line and environment of its workerd. */
let bare;

const stateOf = (id) => join(work("build", id), "state");

/** A gateway as the command starts it, prepared for the mock in a fresh state. */
export async function prepared(id, mock) {
  const state = stateOf(id);
  rmSync(state, { recursive: true, force: true });
  const gateway = await launch(id, state);
  await register(gateway, mock);
  return gateway;
}

export const sluice = {
  id: "sluice",
  title: "Sluice",
  note: "full path: key, routing, metering, usage event; cost edited into every stream",
  cold: true,

  /** Makes a fresh state with the mock as the only provider. */
  async prepare({ mock }) {
    const gateway = await prepared("sluice", mock);
    bare = { ...gateway, ...commandOf(gateway.pid) };
    await gateway.stop();
  },

  /** workerd alone, as the command had started it: the command itself asks for /health, and a first request would be the second. */
  async fresh() {
    const [command, ...args] = bare.command;
    const child = spawn("sluice-fresh", command, args, { role: "target", env: bare.env });
    await until(child, "sluice", () => accepts(bare.port));
    // Stopped at once it would leave its usage event behind, for the next one to work off before it answers.
    const stopLater = () => sleep(1500).then(() => stop(child));
    return { port: bare.port, pid: child.pid, request: request(bare), stop: stopLater };
  },

  async start() {
    const gateway = await launch("sluice", stateOf("sluice"));
    return {
      port: gateway.port,
      pid: gateway.pid,
      size: size(["worker.mjs", "sluice.wasm"].map((name) => join(root, "build", name))),
      version: JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version,
      request: request(gateway),
      translated: { request: { ...request(gateway), model: translatedModel } },
      stop: gateway.stop,
    };
  },
};

/** Another process, whose requests are charged to budgets and limits on three levels; none is near its end. */
export const sluiceBudgets = {
  id: "sluice-budgets",
  title: "Sluice, budgets",
  note: "as Sluice, with budgets of key, workspace and organization, and limits of requests, tokens and parallel requests",
  scenarios: ["json-c1", "json-c16", "sse-paced"],

  async start({ mock }) {
    const gateway = await prepared("sluice-budgets", mock);
    await limit(gateway);
    return { port: gateway.port, pid: gateway.pid, request: request(gateway), stop: gateway.stop };
  },
};

/** The same process, asked for streams as the provider sends them. */
export const sluiceNative = {
  id: "sluice-native",
  title: "Sluice, native streams",
  note: "the same process, streams passed on unedited at the request's wish (`X-Sluice-Stream: native`)",
  scenarios: ["sse-c1", "sse-paced", "sse-burst"],
  modeOf: "sluice",
  mode: (running) => ({ ...running, translated: undefined, request: { ...running.request, headers: [...running.request.headers, "x-sluice-stream: native"] } }),
};

export const request = ({ credentials }) => ({
  path: "/v1/chat/completions",
  model,
  headers: [`authorization: Bearer ${credentials.inference_key}`],
});

function commandOf(pid) {
  const read = (file) => readFileSync(`/proc/${pid}/${file}`, "utf8").split("\0").filter(Boolean);
  const env = read("environ").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  return { command: read("cmdline"), env: Object.fromEntries(env) };
}

async function launch(name, state) {
  const port = await freePort();
  const files = { credentials: join(state, "credentials.json"), pid: join(state, "gateway.pid") };
  rmSync(files.pid, { force: true });
  const env = { ...process.env, PORT: String(port), SLUICE_STATE: state, SLUICE_DEMO: "0" };
  for (const name of Object.keys(env)) if (/_API_KEY$/.test(name)) delete env[name];
  const child = spawn(name, node, [command], { role: "target", env });
  // The first start may build the gateway; its workerd opens the port.
  await until(child, name, async () => existsSync(files.credentials) && existsSync(files.pid) && await accepts(port), 600);
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

async function register(gateway, mock) {
  for (let tries = 0; !(await answers(`http://127.0.0.1:${gateway.port}/health`)); tries++) {
    if (tries > 100) throw new Unavailable("GET /health does not answer 200");
    await sleep(100);
  }
  await serve(gateway, mock, "mock", "openai", model);
  await serve(gateway, mock, "mock-messages", "anthropic", translatedModel);
}

/** Registers the mock as a provider of that dialect, with one model. */
async function serve(gateway, mock, provider, dialect, model) {
  await admin(gateway, "PUT", `admin/providers/${provider}`, {
    name: "Mock",
    dialect,
    base_url: `${mock.url}/v1`,
    credential: { type: "bearer", value: "sk-bench" },
    allow_private_network: true,
  });
  await admin(gateway, "PUT", `admin/models/${model}`, {
    name: "Bench",
    context_length: 1_000_000,
    endpoints: [{
      provider,
      upstream_model: "bench-model",
      pricing: { prompt: "0.0000025", completion: "0.00001" },
      context_length: 1_000_000,
      max_completion_tokens: 16_384,
    }],
  });
}

const AMPLE_USD = 1_000_000;
const AMPLE = 1_000_000_000;

/** Budgets and limits that every request is charged to, and that no benchmark uses up. */
export async function limit(gateway) {
  const { data: keys } = await admin(gateway, "GET", "keys");
  const { hash } = keys.find(({ name }) => name === "default");
  await admin(gateway, "PATCH", `keys/${hash}`, {
    limit: AMPLE_USD, rate_limit: { requests_per_minute: AMPLE, tokens_per_minute: AMPLE, max_parallel: 100_000 },
  });
  await admin(gateway, "PUT", "workspaces/default/budgets/monthly", { limit_usd: AMPLE_USD });
  await admin(gateway, "POST", "budgets", { account: { kind: "organization", id: "default" }, limit_usd: AMPLE_USD, interval: "lifetime" });
  return `key:${hash}`;
}

/** A management call; a refusal is a reason to leave the target out. */
export async function admin({ port, credentials }, method, resource, body) {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/${resource}`, {
    method,
    headers: { authorization: `Bearer ${credentials.management_key}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Unavailable(`${method} /v1/${resource} answered ${answer.status}: ${text}`);
  return JSON.parse(text);
}
