// A gateway for tests: `startWorkerd`, as `npm run serve` runs it, its workerd killable; and
// `startMiniflare`, the same build on Miniflare's simulators. Both answer
//   {name, url, keys: {management, inference}, log(), rows(sql), stop()}
// and workerd's also {state, supervisor, killWorker(), killAll()}.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newKey } from "../../scripts/lib/keys.mjs";
import { alive } from "../../scripts/lib/processes.mjs";
import { queueSettings, readWrangler } from "../../scripts/lib/workerd-config.mjs";
import { CANARIES, eventually, freePort, root, scratch } from "./common.mjs";

// What a log line must never hold: the tests' canaries, and whole virtual keys.
export function leaks(text) {
  return [...CANARIES.filter((word) => text.includes(word)), ...(text.match(/sk-sl-v1-[0-9A-Za-z]{40,}/g) ?? [])];
}

export function assertNoLeak(log) {
  const found = leaks(log);
  if (found.length > 0) throw new Error(`the gateway's log holds ${found.join(", ")}:\n${log}`);
}

// `state`: a folder to start on again; `vars`: further variables, as in wrangler.toml.
export async function startWorkerd({ demo = false, state = scratch(), vars = {} } = {}) {
  const port = await freePort();
  const wrangler = join(state, "wrangler.toml");
  const lines = Object.entries(vars).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  writeFileSync(wrangler, `${readFileSync(join(root, "wrangler.toml"), "utf8")}\n[vars]\n${lines.join("\n")}\n`);
  const { PATH, HOME } = process.env;
  const supervisor = spawn(process.execPath, [join(root, "tests", "support", "serve.mjs")], {
    env: { PATH, HOME, PORT: String(port), SLUICE_STATE: state, SLUICE_DEMO: demo ? "1" : "0", SLUICE_TEST_WRANGLER: wrangler },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // A test that fails before it stops its gateway must not wait for it, nor leave it behind.
  const end = () => supervisor.kill("SIGTERM");
  process.once("exit", end);
  for (const handle of [supervisor, supervisor.stdout, supervisor.stderr]) handle.unref();
  let log = "";
  for (const stream of [supervisor.stdout, supervisor.stderr]) stream.on("data", (text) => { log += text; });
  const ended = once(supervisor, "exit");
  const url = `http://127.0.0.1:${port}`;
  await eventually("the gateway is ready", () => {
    if (supervisor.exitCode !== null) throw new Error(`the gateway did not start:\n${log}`);
    return /^ready /m.test(log);
  }, 60);
  const credentials = JSON.parse(readFileSync(join(state, "credentials.json"), "utf8"));
  const workerPid = () => Number(readFileSync(join(state, "gateway.pid"), "utf8"));
  const gone = (pid) => eventually(`process ${pid} has ended`, () => !alive(pid));

  return {
    name: "workerd", url, state, supervisor,
    keys: { management: credentials.management_key, inference: credentials.inference_key },
    log: () => log,
    rows: (sql) => readD1(state, sql),
    // workerd alone: the supervisor starts it again.
    async killWorker() {
      const pid = workerPid();
      process.kill(pid, "SIGKILL");
      await gone(pid);
      await eventually("the gateway is up again", async () => workerPid() !== pid && (await healthy(url)), 30);
    },
    // Everything, as by power failure; start again with the same `state`.
    async killAll() {
      const pid = workerPid();
      supervisor.ref();
      supervisor.kill("SIGKILL");
      process.kill(pid, "SIGKILL");
      await Promise.all([ended, gone(pid)]);
      assertNoLeak(log);
    },
    async stop() {
      supervisor.ref();
      supervisor.kill("SIGTERM");
      await ended;
      process.removeListener("exit", end);
      rmSync(state, { recursive: true, force: true });
      assertNoLeak(log);
    },
  };
}

export async function healthy(url) {
  try {
    const response = await fetch(`${url}/health`);
    await response.arrayBuffer();
    return response.ok;
  } catch (error) {
    if (error.cause?.code === undefined) throw error;
    return false;
  }
}

// D1 as it stands on disk. A copy is read: a reader's locks would be in workerd's way.
export async function readD1(state, sql) {
  const { DatabaseSync } = await import("node:sqlite");
  const folder = join(state, "do", "sluice-D1Store");
  const file = readdirSync(folder).map((name) => join(folder, name)).find((name) => name.endsWith(".sqlite") && !name.endsWith("metadata.sqlite"));
  if (file === undefined) return [];
  const copy = scratch();
  try {
    await eventually("a copy during which nothing was written", () => copyAtRest(file, join(copy, "d1.sqlite")));
    const database = new DatabaseSync(join(copy, "d1.sqlite"));
    try {
      const migrated = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'generations'").get() !== undefined;
      return migrated ? database.prepare(sql).all().map((row) => ({ ...row })) : [];
    } finally {
      database.close();
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

// True if neither the database nor its log changed meanwhile.
function copyAtRest(from, to) {
  const names = ["", "-wal"].filter((suffix) => existsSync(from + suffix));
  const versions = () => names.map((suffix) => statSync(from + suffix)).map(({ size, mtimeMs }) => `${size} ${mtimeMs}`).join();
  const before = versions();
  for (const suffix of names) copyFileSync(from + suffix, to + suffix);
  return before === versions();
}

// `outboundService`: stands in for the network: a function from the worker's requests to responses.
export async function startMiniflare({ vars = {}, outboundService } = {}) {
  const { Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const wrangler = readWrangler(join(root, "wrangler.toml"));
  const management = newKey();
  let log = "";
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    host: "127.0.0.1",
    cf: false,
    modules: [
      { type: "ESModule", path: join(root, "build", "worker.mjs") },
      { type: "CompiledWasm", path: join(root, "build", "sluice.wasm") },
    ],
    modulesRoot: join(root, "build"),
    compatibilityDate: wrangler.compatibility_date,
    compatibilityFlags: wrangler.compatibility_flags ?? [],
    bindings: { ...vars, SLUICE_MANAGEMENT_KEY: management, SLUICE_MASTER_KEY: Buffer.alloc(32, 7).toString("base64") },
    kvNamespaces: wrangler.kv_namespaces.map(({ binding }) => binding),
    d1Databases: wrangler.d1_databases.map(({ binding }) => binding),
    durableObjects: Object.fromEntries(wrangler.durable_objects.bindings.map(({ name, class_name }) => [name, { className: class_name, useSQLite: true }])),
    queueProducers: Object.fromEntries(wrangler.queues.producers.map(({ binding, queue }) => [binding, queue])),
    queueConsumers: queueConsumers(wrangler),
    ...(outboundService && { outboundService }),
    handleStructuredLogs: ({ message }) => { log += `${message}\n`; },
  }));
  const url = (await miniflare.ready).origin;
  const database = await miniflare.getD1Database("DB");
  const folder = join(root, "schema", "sql");
  for (const name of readdirSync(folder).sort()) {
    const statements = readFileSync(join(folder, name), "utf8").replace(/^\s*--.*$/gm, "").split(";").filter((sql) => sql.trim() !== "");
    await database.batch(statements.map((sql) => database.prepare(sql)));
  }
  const response = await fetch(`${url}/v1/keys`, {
    method: "POST", headers: { authorization: `Bearer ${management}`, "content-type": "application/json" }, body: '{"name":"test"}',
  });
  const { key: inference } = await response.json();
  return {
    name: "miniflare", url, keys: { management, inference }, miniflare,
    log: () => log,
    rows: async (sql) => (await database.prepare(sql).all()).results,
    async stop() {
      await miniflare.dispose();
      assertNoLeak(log);
    },
  };
}

function queueConsumers(wrangler) {
  const settings = Object.entries(queueSettings(wrangler)).filter(([, { consumer }]) => consumer !== undefined);
  return Object.fromEntries(settings.map(([queue, { consumer, deliveryDelay, ...rest }]) => [queue, rest]));
}
