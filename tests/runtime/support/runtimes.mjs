// Starts the probe worker two ways, for tests that must come out the same on both: in bare workerd on
// Sluice's stores, and in Miniflare on its simulators. Both answer {url, stop()}; ours also kill().
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import workerd from "workerd";
import { readWrangler, workerdConfig } from "../../../scripts/lib/workerd-config.mjs";

export const support = dirname(fileURLToPath(import.meta.url));
export const root = resolve(support, "../../..");
const build = join(support, "probe");
const wranglerFile = join(support, "wrangler.toml");

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export function scratch() {
  return mkdtempSync(join(tmpdir(), "sluice-test-"));
}

// `edit` may change wrangler.toml's content first.
export async function startOurs({ state = scratch(), edit = (wrangler) => wrangler, env = {} } = {}) {
  const port = await freePort();
  const file = join(state, "workerd.capnp");
  const disk = join(state, "do");
  mkdirSync(disk, { recursive: true });
  const wrangler = edit(readWrangler(wranglerFile));
  writeFileSync(file, workerdConfig({ root, build, wrangler, file, disk, host: "127.0.0.1", port, secrets: Object.keys(env) }));
  const child = spawn(workerd.default, ["serve", "--experimental", file], { stdio: ["ignore", "pipe", "pipe"], env });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => { log += chunk; });
  const exited = once(child, "exit");
  const url = `http://127.0.0.1:${port}`;
  await answering(url, () => (child.exitCode === null && child.signalCode === null ? null : log));
  const kill = async (signal = "SIGKILL") => {
    child.kill(signal);
    await exited;
  };
  return {
    name: "workerd", url, pid: child.pid, state, kill,
    log: () => log,
    stop: async () => {
      await kill();
      rmSync(state, { recursive: true, force: true });
    },
  };
}

export async function startMiniflare() {
  const { Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const { queues, vars, compatibility_date } = readWrangler(wranglerFile);
  const consumer = (queue) => {
    const found = queues.consumers.find((entry) => entry.queue === queue);
    return { maxBatchSize: found.max_batch_size, maxBatchTimeout: found.max_batch_timeout, maxRetries: found.max_retries, deadLetterQueue: found.dead_letter_queue };
  };
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    host: "127.0.0.1",
    cf: false,
    modules: [{ type: "ESModule", path: join(build, "worker.mjs") }],
    compatibilityDate: compatibility_date,
    bindings: vars,
    kvNamespaces: ["KV"],
    d1Databases: ["DB"],
    durableObjects: { ACCOUNT: { className: "Account", useSQLite: true }, CATALOG: { className: "Catalog", useSQLite: true } },
    queueProducers: { USAGE_QUEUE: "usage-events" },
    queueConsumers: Object.fromEntries(queues.consumers.map(({ queue }) => [queue, consumer(queue)])),
  }));
  const url = (await miniflare.ready).origin;
  const database = await miniflare.getD1Database("DB");
  for (const name of ["0001_first.sql", "0002_second.sql"]) {
    const statements = readFileSync(join(support, "sql", name), "utf8").replace(/^--.*$/gm, "").split(";").filter((sql) => sql.trim() !== "");
    await database.batch(statements.map((sql) => database.prepare(sql)));
  }
  return { name: "miniflare", url, stop: () => miniflare.dispose() };
}

// Waits until something answers at the URL. `gone` returns a text if it never will.
export async function answering(url, gone = () => null) {
  for (const end = Date.now() + 20_000; ; ) {
    const text = gone();
    if (text !== null) throw new Error(`the process ended: ${text}`);
    try {
      const response = await fetch(`${url}/health`);
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (error.cause?.code !== "ECONNREFUSED" && error.cause?.code !== "ECONNRESET") throw error;
    }
    if (Date.now() > end) throw new Error(`nothing answers at ${url}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

// Runs one operation in the probe; throws what it threw.
export async function perform(url, target, method, ...args) {
  const response = await fetch(`${url}/do`, { method: "POST", body: JSON.stringify({ target, method, args }) });
  if (!response.ok) throw new Error(`probe answered ${response.status}: ${await response.text()}`);
  const { value, error } = await response.json();
  if (error !== undefined) throw new Error(error);
  return value;
}

// Waits until `check` returns something other than undefined.
export async function eventually(what, check, seconds = 15) {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`in ${seconds} s never: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
