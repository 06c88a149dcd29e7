// What Sluice's stores promise beyond the platform's protocols: an answered call is on disk, whatever
// happens to the process; a queue neither loses nor stalls.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { eventually, perform, root, scratch, startOurs } from "./support/runtimes.mjs";

const states = [];
const running = new Set();
after(async () => {
  for (const runtime of running) await runtime.kill();
  for (const state of states) rmSync(state, { recursive: true, force: true });
});

async function start(state, options = {}) {
  if (!states.includes(state)) states.push(state);
  const runtime = await startOurs({ state, ...options });
  running.add(runtime);
  return { ...runtime, does: (...operation) => perform(runtime.url, ...operation), kill: async () => { running.delete(runtime); await runtime.kill(); } };
}

// Runs `write(i)` for i = 0, 1, ... from several loops and kills the process in the middle of it.
// Answers with the numbers that were acknowledged.
async function killWhile(runtime, write, milliseconds = 700) {
  const acknowledged = [];
  let next = 0;
  let killed = false;
  const loop = async () => {
    while (!killed) {
      const i = next++;
      try {
        await write(i);
        acknowledged.push(i);
      } catch (error) {
        if (!killed && error.cause === undefined) throw error;
        return;
      }
    }
  };
  const loops = Promise.all(Array.from({ length: 4 }, loop));
  await new Promise((done) => setTimeout(done, milliseconds));
  killed = true;
  await runtime.kill();
  await loops;
  assert.ok(acknowledged.length > 20, `only ${acknowledged.length} writes in ${milliseconds} ms`);
  return acknowledged;
}

const bodiesOf = async (runtime, queue) =>
  (await runtime.does("log", "entries")).filter((entry) => queue === undefined || entry.queue === queue).flatMap((entry) => entry.messages.map((m) => m.body.i));

test("every acknowledged KV write survives kill -9", async () => {
  const state = scratch();
  const first = await start(state);
  const acknowledged = await killWhile(first, (i) => first.does("kv", "put", `k${i}`, `v${i}`, { metadata: { i } }));
  const second = await start(state);
  for (const i of acknowledged) assert.equal(await second.does("kv", "get", `k${i}`), `v${i}`);
  await second.kill();
});

test("every acknowledged D1 batch survives kill -9, and none is there in part", async () => {
  const state = scratch();
  const first = await start(state);
  const insert = "INSERT INTO thing (id, n) VALUES (?, ?)";
  const acknowledged = await killWhile(first, (i) => first.does("batch", "", [insert, `${i}-a`, i + 1], [insert, `${i}-b`, i + 1]));
  const second = await start(state);
  const { results } = await second.does("statement", "all", "SELECT n, count(*) AS rows FROM thing WHERE n > 0 GROUP BY n", []);
  assert.ok(results.every((row) => row.rows === 2));
  const there = new Set(results.map((row) => row.n - 1));
  assert.deepEqual(acknowledged.filter((i) => !there.has(i)), []);
  await second.kill();
});

test("every acknowledged message is delivered after kill -9, with nothing else to wake the queue", async () => {
  const state = scratch();
  const first = await start(state);
  const acknowledged = await killWhile(first, (i) =>
    i % 2 === 0 ? first.does("queue", "send", { i }) : first.does("queue", "sendBatch", [{ body: { i } }, { body: { i } }]));
  const second = await start(state);
  await eventually("all acknowledged messages delivered", async () => {
    const delivered = new Set(await bodiesOf(second));
    return acknowledged.every((i) => delivered.has(i)) || undefined;
  });
  await second.kill();
});

test("a batch that was out when the process was killed comes again", async () => {
  const state = scratch();
  const first = await start(state);
  await first.does("log", "set", "mode", "hang-once");
  await first.does("queue", "send", { i: "out" });
  await eventually("the batch is out", async () => (await bodiesOf(first)).length > 0 || undefined);
  await first.kill();
  const second = await start(state);
  assert.deepEqual(await eventually("delivered again", async () => {
    const bodies = await bodiesOf(second);
    return bodies.length > 1 ? bodies : undefined;
  }), ["out", "out"]);
  await second.kill();
});

test("a delayed message survives kill -9 and comes when it is due", async () => {
  const state = scratch();
  const first = await start(state);
  await first.does("queue", "send", { i: "delayed" }, { delaySeconds: 3 });
  const sent = Date.now();
  await first.kill();
  const second = await start(state);
  const [entry] = await eventually("delivered", async () => {
    const entries = await second.does("log", "entries");
    return entries.length > 0 ? entries : undefined;
  });
  assert.ok(entry.at - sent >= 2900, `came after ${entry.at - sent} ms`);
  await second.kill();
});

const patient = (wrangler) => {
  wrangler.queues.consumers[0].max_retries = 20;
  return wrangler;
};

test("a consumer that fails for a while gets everything when it is well, and is not hammered meanwhile", async () => {
  const runtime = await start(scratch(), { edit: patient });
  await runtime.does("log", "set", "mode", "crash");
  for (let i = 0; i < 30; i += 10) await runtime.does("queue", "sendBatch", Array.from({ length: 10 }, (_, n) => ({ body: { i: i + n } })));
  await new Promise((done) => setTimeout(done, 8000));
  const failures = (await runtime.does("log", "entries")).length;
  assert.ok(failures >= 5 && failures <= 20, `${failures} batches in 8 s`);
  await runtime.does("log", "set", "mode", "normal");
  const crashed = (await runtime.does("log", "entries")).length;
  await eventually("all delivered to the mended consumer", async () => {
    const entries = (await runtime.does("log", "entries")).slice(crashed);
    return new Set(entries.flatMap((entry) => entry.messages.map((m) => m.body.i))).size === 30 || undefined;
  }, 30);
  assert.deepEqual(await bodiesOf(runtime, "usage-events-dead"), []);
  await runtime.kill();
});

test("a failing message does not hold up the ones behind it", async () => {
  const runtime = await start(scratch(), { edit: patient });
  await runtime.does("queue", "send", { i: "poison", wish: "retry" });
  for (let i = 0; i < 25; i++) await runtime.does("queue", "send", { i });
  await eventually("the others delivered", async () => {
    const bodies = await bodiesOf(runtime);
    return Array.from({ length: 25 }, (_, i) => i).every((i) => bodies.includes(i)) || undefined;
  }, 5);
  await runtime.kill();
});

test("a queue whose max_batch_size was lowered still delivers what it held", async () => {
  const state = scratch();
  const first = await start(state, { edit: (wrangler) => { wrangler.queues.consumers[0].max_batch_timeout = 60; return wrangler; } });
  await first.does("queue", "sendBatch", Array.from({ length: 8 }, (_, i) => ({ body: { i } })));
  await first.kill();
  const second = await start(state, { edit: (wrangler) => { wrangler.queues.consumers[0].max_batch_size = 3; return wrangler; } });
  await second.does("queue", "send", { i: 8 });
  await eventually("delivered", async () => (await bodiesOf(second)).length === 9 || undefined);
  await second.kill();
});

test("a queue without a consumer keeps its messages until it has one", async () => {
  const state = scratch();
  const first = await start(state, { edit: (wrangler) => { wrangler.queues.consumers.shift(); return wrangler; } });
  await first.does("queue", "send", { i: "kept" });
  assert.equal((await first.does("queue", "metrics")).backlogCount, 1);
  await first.kill();
  const second = await start(state);
  await second.does("queue", "send", { i: "new" });
  await eventually("both delivered", async () => (await bodiesOf(second)).length === 2 || undefined);
  assert.deepEqual(await bodiesOf(second), ["kept", "new"]);
  assert.equal((await second.does("queue", "metrics")).backlogCount, 0);
  await second.kill();
});

test("an expired key is absent everywhere, and a later write sweeps it from disk", async () => {
  const state = scratch();
  const first = await start(state);
  for (const name of ["short", "stays"]) await first.does("kv", "put", name, "x", { expirationTtl: 60 });
  await first.does("kv", "put", "short-and-large", { $repeat: "0123456789", times: 300_000 }, { expirationTtl: 60 });
  await first.kill();
  expire(state, "short%");
  const second = await start(state);
  assert.equal(await second.does("kv", "get", "short"), null);
  assert.deepEqual(await second.does("kv", "get", ["short", "stays"]), { short: null, stays: "x" });
  assert.deepEqual((await second.does("kv", "list")).keys.map((key) => key.name), ["stays"]);
  await second.does("kv", "put", "another", "x");
  await second.kill();
  const database = kvDatabase(state);
  assert.deepEqual(database.prepare("SELECT key FROM entry ORDER BY key").all().map((row) => row.key), ["another", "stays"]);
  assert.equal(database.prepare("SELECT count(*) AS n FROM part").get().n, 0);
  database.close();
});

function kvDatabase(state) {
  const folder = join(state, "do", "sluice-KvStore");
  const name = readdirSync(folder).find((file) => file.endsWith(".sqlite"));
  return new DatabaseSync(join(folder, name));
}

// A minute is the shortest life a key may have, so the test moves its end.
function expire(state, like) {
  const database = kvDatabase(state);
  database.prepare("UPDATE entry SET expires = 1 WHERE key LIKE ?").run(like);
  database.close();
}

// A wrangler.toml whose migrations lie in a folder with these files.
function withMigrations(state, files) {
  const folder = join(state, "sql");
  mkdirSync(folder, { recursive: true });
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, name), sql);
  return (wrangler) => {
    wrangler.d1_databases[0].migrations_dir = relative(root, folder);
    return wrangler;
  };
}

test("migrations are applied once each, in order, and recorded as wrangler records them", async () => {
  const state = scratch();
  const first = await start(state, { edit: withMigrations(state, { "0001_a.sql": "CREATE TABLE t (x); INSERT INTO t VALUES (1);" }) });
  assert.deepEqual(await first.does("statement", "first", "SELECT count(*) AS n FROM t", []), { n: 1 });
  await first.kill();
  const second = await start(state, { edit: withMigrations(state, { "0002_b.sql": "INSERT INTO t VALUES (2);", "0010_c.sql": "INSERT INTO t VALUES (3);" }) });
  assert.deepEqual((await second.does("statement", "raw", "SELECT x FROM t ORDER BY rowid", [])), [[1], [2], [3]]);
  assert.deepEqual(await second.does("statement", "raw", "SELECT id, name FROM d1_migrations ORDER BY id", []), [[1, "0001_a.sql"], [2, "0002_b.sql"], [3, "0010_c.sql"]]);
  await second.kill();
});

test("a failing migration leaves nothing behind and every query names it", async () => {
  const state = scratch();
  const edit = withMigrations(state, { "0001_a.sql": "CREATE TABLE t (x);", "0002_bad.sql": "INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1);" });
  const first = await start(state, { edit });
  await assert.rejects(first.does("statement", "all", "SELECT 1", []), /D1_ERROR: migration 0002_bad\.sql failed: no such table: nowhere/);
  await first.kill();
  const second = await start(state, { edit: withMigrations(state, { "0002_bad.sql": "INSERT INTO t VALUES (2);" }) });
  assert.deepEqual(await second.does("statement", "raw", "SELECT x FROM t", []), [[2]]);
  await second.kill();
});

test("the gateway reaches private addresses only through PRIVATE_NETWORK", async () => {
  const runtime = await start(scratch());
  assert.equal(await runtime.does("fetch", "private", `${runtime.url}/health`), '{"status":"ok"}');
  await assert.rejects(runtime.does("fetch", "public", `${runtime.url}/health`));
  await runtime.kill();
});

test("texts reach the worker as they were written, secrets from the environment", async () => {
  const runtime = await start(scratch(), { env: { SLUICE_MASTER_KEY: 'se"cr\\et' } });
  assert.equal(await runtime.does("env", "GREETING"), 'say "hi"\n\\x41');
  assert.equal(await runtime.does("env", "SLUICE_MASTER_KEY"), 'se"cr\\et');
  await runtime.kill();
});
