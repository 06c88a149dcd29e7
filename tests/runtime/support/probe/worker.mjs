// A worker that does to its bindings what a test asks: POST /do runs {target, method, args} and
// answers {value} or {error}. Its queue consumer keeps a log of batches in a Durable Object and treats
// each message as the message itself says. It also plays the gateway's few routes that starting needs.
import { DurableObject } from "cloudflare:workers";

const json = (value, status = 200) => Response.json(value, { status });

export class Account extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS batch (n INTEGER PRIMARY KEY, entry TEXT NOT NULL)");
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)");
  }
  append(entry) {
    this.ctx.storage.sql.exec("INSERT INTO batch (entry) VALUES (?)", JSON.stringify(entry));
  }
  entries() {
    return this.ctx.storage.sql.exec("SELECT entry FROM batch ORDER BY n").toArray().map((row) => JSON.parse(row.entry));
  }
  set(name, value) {
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, JSON.stringify(value));
  }
  get(name) {
    const [row] = this.ctx.storage.sql.exec("SELECT value FROM setting WHERE name = ?", name).toArray();
    return row === undefined ? null : JSON.parse(row.value);
  }
  list(prefix) {
    return this.ctx.storage.sql
      .exec("SELECT name, value FROM setting WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name", prefix)
      .toArray().map((row) => ({ name: row.name, value: JSON.parse(row.value) }));
  }
  forget(name) {
    this.ctx.storage.sql.exec("DELETE FROM setting WHERE name = ?", name);
  }
}

export class Catalog extends DurableObject {}

const account = (env) => env.ACCOUNT.getByName("log");

// JSON cannot carry these, so a test writes {$bytes: [..]}, {$date: ms}, {$undefined: true}.
function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return new Uint8Array(value.$bytes);
  if ("$date" in value) return new Date(value.$date);
  if ("$repeat" in value) return value.$repeat.repeat(value.times);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, decode(v)]));
}

function encode(value) {
  if (value instanceof ArrayBuffer) return { $bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { $bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  if (value instanceof Date) return { $date: value.getTime() };
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [k, encode(v)]));
  if (Array.isArray(value)) return value.map(encode);
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, encode(v)]));
  return value;
}

async function drained(value) {
  return value instanceof ReadableStream ? { $stream: await new Response(value).text() } : value;
}

const operations = {
  kv: async (env, method, args) => {
    const value = await env.KV[method](...args);
    return value !== null && typeof value === "object" && "value" in value ? { ...value, value: await drained(value.value) } : drained(value);
  },
  // args: [sql, params, finisher, ...finisher's arguments]
  statement: (env, method, [sql, params, ...rest]) => env.DB.prepare(sql).bind(...params)[method](...rest),
  batch: (env, _, statements) => env.DB.batch(statements.map(([sql, ...params]) => env.DB.prepare(sql).bind(...params))),
  exec: (env, _, [sql]) => env.DB.exec(sql),
  queue: (env, method, args) => env.USAGE_QUEUE[method](...args),
  log: (env, method, args) => account(env)[method](...args),
  env: (env, name) => env[name],
  fetch: async (env, network, [url]) => (await (network === "private" ? env.PRIVATE_NETWORK.fetch(url) : fetch(url))).text(),
};

async function perform(request, env) {
  const { target, method, args } = await request.json();
  try {
    return json({ value: encode(await operations[target](env, method, decode(args))) });
  } catch (error) {
    return json({ error: error.message });
  }
}

// How often a loop of one operation runs in a second of CPU is measured from outside.
async function repeat(request, env) {
  const { target, method, args, times } = await request.json();
  const decoded = decode(args);
  for (let i = 0; i < times; i++) await operations[target](env, method, decoded);
  return json({ value: times });
}

// The part of the gateway's API that starting needs.
async function gateway(request, env, url) {
  const bearer = request.headers.get("authorization")?.slice(7);
  const [, path] = url.pathname.split("/v1/");
  if (request.method === "GET" && path === "key") {
    return (await account(env).get(`key:${bearer}`)) ? json({ data: {} }) : json({ error: { message: "unknown key" } }, 401);
  }
  if (bearer !== env.SLUICE_MANAGEMENT_KEY) return json({ error: { message: "not the management key" } }, 401);
  if (request.method === "POST" && path === "keys") {
    const key = `sk-sl-v1-${crypto.randomUUID()}`;
    await account(env).set(`key:${key}`, await request.json());
    return json({ data: { name: "default" }, key }, 201);
  }
  if (path.startsWith("admin/")) {
    if (request.method === "PUT") await account(env).set(path, await request.json());
    if (request.method === "DELETE") await account(env).forget(path);
    return json({ data: await account(env).list("admin/") });
  }
  return json({ error: { message: "no such route" } }, 404);
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/health") return json({ status: "ok" });
    if (url.pathname === "/do") return perform(request, env);
    if (url.pathname === "/repeat") return repeat(request, env);
    if (url.pathname === "/forever") return new Response(endless());
    return gateway(request, env, url);
  },

  async queue(batch, env) {
    const mode = await account(env).get("mode");
    await account(env).append({
      queue: batch.queue,
      at: Date.now(),
      messages: batch.messages.map((m) => ({ id: m.id, body: encode(m.body), attempts: m.attempts, age: Date.now() - m.timestamp.getTime() })),
    });
    if (mode === "crash") throw new Error("the consumer is told to crash");
    if (mode === "hang-once") {
      await account(env).set("mode", "normal");
      await new Promise((resolve) => setTimeout(resolve, 3_600_000));
    }
    for (const message of batch.messages) {
      const wish = message.body?.wish;
      if (batch.queue.endsWith("-dead")) message.ack();
      else if (wish === "retry") message.retry();
      else if (wish === "retry-later") message.attempts > 1 ? message.ack() : message.retry({ delaySeconds: 2 });
      else if (wish === "retry-once") message.attempts > 1 ? message.ack() : message.retry();
      else if (wish === "retry-all") { if (message.attempts === 1) { batch.retryAll(); return; } }
      else message.ack();
    }
  },
};

function endless() {
  let timer;
  return new ReadableStream({
    start(controller) {
      timer = setInterval(() => controller.enqueue(new TextEncoder().encode("tick\n")), 100);
    },
    cancel: () => clearInterval(timer),
  });
}
