// The bindings behave the same on Sluice's stores in bare workerd as on Miniflare's simulators: each
// test runs on both. What only ours promises (kill -9, back-off) is in durability.test.mjs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, perform, startMiniflare, startOurs } from "./support/runtimes.mjs";

for (const start of [startOurs, startMiniflare]) {
  describe(start === startOurs ? "on Sluice's stores" : "on Miniflare", { concurrency: false }, () => {
    let runtime;
    const does = (...operation) => perform(runtime.url, ...operation);
    const kv = (method, ...args) => does("kv", method, ...args);
    const run = (sql, ...params) => does("statement", "run", sql, params);
    const all = (sql, ...params) => does("statement", "all", sql, params);
    const refuses = (operation, pattern) => assert.rejects(operation, (error) => pattern.test(error.message) || assert.fail(`"${error.message}" does not match ${pattern}`));

    before(async () => { runtime = await start(); });
    after(() => runtime.stop());

    describe("KV", () => {
      test("returns a value as text, JSON, bytes and stream", async () => {
        await kv("put", "types", '{"a":"é☃"}');
        assert.equal(await kv("get", "types"), '{"a":"é☃"}');
        assert.deepEqual(await kv("get", "types", "json"), { a: "é☃" });
        assert.deepEqual(await kv("get", "types", { type: "stream" }), { $stream: '{"a":"é☃"}' });
        assert.deepEqual(await kv("get", "types", "arrayBuffer"), { $bytes: [...Buffer.from('{"a":"é☃"}')] });
      });

      test("keeps every byte", async () => {
        const bytes = Array.from({ length: 256 }, (_, i) => i);
        await kv("put", "bytes", { $bytes: bytes });
        assert.deepEqual(await kv("get", "bytes", "arrayBuffer"), { $bytes: bytes });
      });

      test("keeps an empty value apart from an absent one", async () => {
        await kv("put", "empty", "");
        assert.equal(await kv("get", "empty"), "");
        assert.equal(await kv("get", "absent"), null);
      });

      test("takes any key, also with slashes, spaces and other scripts", async () => {
        for (const key of ["a/b/c", "a b", "ключ", "?q=1&x#y", "%41", "bulk/get", "a+b"]) {
          await kv("put", key, `value of ${key}`);
          assert.equal(await kv("get", key), `value of ${key}`);
        }
      });

      test("replaces value, metadata and expiry together", async () => {
        await kv("put", "replaced", "1", { metadata: { v: 1 }, expirationTtl: 100 });
        await kv("put", "replaced", "2");
        assert.deepEqual(await kv("getWithMetadata", "replaced"), { value: "2", metadata: null, cacheStatus: null });
        const { keys } = await kv("list", { prefix: "replaced" });
        assert.deepEqual(keys, [{ name: "replaced" }]);
      });

      test("returns metadata with the value", async () => {
        await kv("put", "meta", "v", { metadata: { who: "é☃", n: [1, 2] } });
        assert.deepEqual(await kv("getWithMetadata", "meta"), { value: "v", metadata: { who: "é☃", n: [1, 2] }, cacheStatus: null });
        assert.deepEqual(await kv("getWithMetadata", "absent"), { value: null, metadata: null, cacheStatus: null });
      });

      test("deletes, also what is not there", async () => {
        await kv("put", "gone", "x");
        await kv("delete", "gone");
        await kv("delete", "gone");
        assert.equal(await kv("get", "gone"), null);
      });

      test("holds a value of 5 MB, and lets a small one replace it", async () => {
        await kv("put", "large", { $repeat: "0123456789", times: 524_288 });
        const value = await kv("get", "large");
        assert.equal(value.length, 5_242_880);
        assert.equal(value.slice(1_048_570, 1_048_590), "01234567890123456789");
        await kv("put", "large", "small");
        assert.equal(await kv("get", "large"), "small");
      });

      test("lists by prefix in byte order, page by page, with metadata and expiry", async () => {
        const at = Math.floor(Date.now() / 1000) + 1000;
        for (const name of ["b", "a", "ä", "C", "b/1"]) await kv("put", `list:${name}`, "x", { metadata: { name } });
        await kv("put", "list:d", "x", { expiration: at });
        await kv("put", "listing", "x");
        const first = await kv("list", { prefix: "list:", limit: 4 });
        assert.deepEqual(first.keys, ["C", "a", "b", "b/1"].map((name) => ({ name: `list:${name}`, metadata: { name } })));
        assert.equal(first.list_complete, false);
        const second = await kv("list", { prefix: "list:", limit: 4, cursor: first.cursor });
        assert.deepEqual(second.keys, [{ name: "list:d", expiration: at }, { name: "list:ä", metadata: { name: "ä" } }]);
        assert.equal(second.list_complete, true);
        assert.equal(second.cursor, undefined);
      });

      test("an exactly full page is the last one", async () => {
        for (const name of ["1", "2"]) await kv("put", `full:${name}`, "x");
        const page = await kv("list", { prefix: "full:", limit: 2 });
        assert.equal(page.keys.length, 2);
        assert.equal(page.list_complete, true);
      });

      test("reads many keys at once", async () => {
        await kv("put", "many:1", '{"n":1}', { metadata: { m: 1 } });
        await kv("put", "many:2", '"two"');
        assert.deepEqual(await kv("get", ["many:1", "many:2", "many:3"]), { "many:1": '{"n":1}', "many:2": '"two"', "many:3": null });
        assert.deepEqual(await kv("get", ["many:1", "many:3"], "json"), { "many:1": { n: 1 }, "many:3": null });
        assert.deepEqual(await kv("getWithMetadata", ["many:1", "many:2"]), {
          "many:1": { value: '{"n":1}', metadata: { m: 1 } },
          "many:2": { value: '"two"', metadata: null },
        });
      });

      test("refuses what the platform refuses", async () => {
        await refuses(kv("put", "ttl", "x", { expirationTtl: 59 }), /^KV PUT failed: 400 Invalid expiration_ttl of 59\. Expiration TTL must be at least 60\.$/);
        await refuses(kv("put", "ttl", "x", { expiration: Math.floor(Date.now() / 1000) + 10 }), /^KV PUT failed: 400 Invalid expiration of \d+\. Expiration times must be at least 60 seconds in the future\.$/);
        await refuses(kv("get", "ttl", { cacheTtl: 1 }), /^KV GET failed: 400 Invalid cache_ttl of 1\. Cache TTL must be at least 30\.$/);
        await refuses(kv("put", "meta", "x", { metadata: "m".repeat(1100) }), /^KV PUT failed: 413 Metadata length of 1102 exceeds limit of 1024\.$/);
        await refuses(kv("put", "k".repeat(513), "x"), /414/);
        await refuses(kv("list", { limit: 1001 }), /^KV GET failed: 400 Invalid key_count_limit of 1001/);
        await refuses(kv("get", Array.from({ length: 101 }, (_, i) => `k${i}`)), /400 You can request a maximum of 100 keys/);
        await refuses(kv("get", ["types", "empty"], "json"), /400 At least one of the requested keys corresponds to a non-json value/);
        await refuses(kv("put", "huge", { $repeat: "0123456789", times: 2_700_000 }), /413 Value length of 27000000 exceeds limit of 26214400\./);
      });
    });

    describe("D1", () => {
      test("has the migrations applied", async () => {
        const { results } = await all("SELECT id, n, note, extra FROM thing WHERE id = 'seed'");
        assert.deepEqual(results, [{ id: "seed", n: 0, note: null, extra: null }]);
      });

      test("reports what a write did", async () => {
        const { meta, success } = await run("INSERT INTO thing (id, n) VALUES (?, ?), (?, ?)", "w1", 1, "w2", 2);
        assert.equal(success, true);
        assert.equal(meta.changes, 2);
        assert.equal(meta.changed_db, true);
        assert.equal(typeof meta.duration, "number");
        assert.equal(meta.rows_written, 6);
        const update = await run("UPDATE thing SET note = 'x' WHERE id = 'w1'");
        assert.equal(update.meta.changes, 1);
        assert.equal(update.meta.last_row_id, meta.last_row_id);
        const nothing = await run("UPDATE thing SET note = 'x' WHERE id = 'nobody'");
        assert.equal(nothing.meta.changes, 0);
        assert.equal(nothing.meta.changed_db, false);
      });

      test("tells how many rows of an insert from JSON were new", async () => {
        const insert = "INSERT INTO thing (id, n) SELECT value->>0, value->>1 FROM json_each(?1) WHERE true ON CONFLICT (id) DO NOTHING";
        assert.equal((await run(insert, JSON.stringify([["j1", 1], ["j2", 2]]))).meta.changes, 2);
        assert.equal((await run(insert, JSON.stringify([["j2", 2], ["j3", 3]]))).meta.changes, 1);
      });

      test("answers first, all and raw", async () => {
        await run("INSERT INTO thing (id, n, note) VALUES ('f1', 71, 'a'), ('f2', 72, NULL)");
        const query = "SELECT id, n, note FROM thing WHERE n IN (71, 72) ORDER BY n";
        assert.deepEqual(await does("statement", "first", query, []), { id: "f1", n: 71, note: "a" });
        assert.equal(await does("statement", "first", query, [], "note"), "a");
        assert.equal(await does("statement", "first", "SELECT id FROM thing WHERE n = ?", [99999]), null);
        assert.deepEqual((await all(query)).results.map((row) => row.id), ["f1", "f2"]);
        assert.equal((await all("SELECT n FROM thing WHERE id = 'f1'")).meta.rows_read, 1);
        assert.deepEqual(await does("statement", "raw", query, []), [["f1", 71, "a"], ["f2", 72, null]]);
        assert.deepEqual(await does("statement", "raw", query, [], { columnNames: true }), [["id", "n", "note"], ["f1", 71, "a"], ["f2", 72, null]]);
      });

      test("returns the rows of a write that has RETURNING", async () => {
        const { results } = await run("INSERT INTO thing (id, n) VALUES ('r1', 5) RETURNING id, n");
        assert.deepEqual(results, [{ id: "r1", n: 5 }]);
      });

      test("keeps numbers, text, blobs and null apart", async () => {
        await run("INSERT INTO thing (id, n, note, extra) VALUES (?, ?, ?, ?)", "types", 9007199254740991, "☃ 'quoted'", { $bytes: [0, 128, 255] });
        assert.deepEqual((await all("SELECT * FROM thing WHERE id = 'types'")).results,
          [{ id: "types", n: 9007199254740991, note: "☃ 'quoted'", extra: [0, 128, 255] }]);
        assert.deepEqual((await all("SELECT 1.5 AS f, 3 AS i, NULL AS z, 'x' AS t")).results, [{ f: 1.5, i: 3, z: null, t: "x" }]);
      });

      test("runs a batch whole or not at all", async () => {
        const insert = (id) => ["INSERT INTO thing (id, n) VALUES (?, 1)", id];
        await refuses(does("batch", "", insert("b1"), insert("b2"), insert("b1")), /^D1_ERROR: UNIQUE constraint failed: thing\.id: SQLITE_CONSTRAINT/);
        assert.equal((await all("SELECT id FROM thing WHERE id IN ('b1', 'b2')")).results.length, 0);
        const answers = await does("batch", "", insert("b1"), ["SELECT count(*) AS n FROM thing WHERE id = 'b1'"], ["DELETE FROM thing WHERE id = 'b1'"]);
        assert.deepEqual(answers.map(({ meta, results }) => [meta.changes, results]), [[1, []], [0, [{ n: 1 }]], [1, []]]);
      });

      test("counts changes rightly after a failed statement", async () => {
        await refuses(does("batch", "", ["UPDATE thing SET n = n + 1"], ["no sql"]), /^D1_ERROR: near "no": syntax error/);
        assert.equal((await run("UPDATE thing SET note = 'y' WHERE id = 'seed'")).meta.changes, 1);
      });

      test("executes several statements, one a line", async () => {
        const answer = await does("exec", "", "CREATE TABLE IF NOT EXISTS other (x)\nINSERT INTO other VALUES (1)\nINSERT INTO other VALUES (2)");
        assert.equal(answer.count, 3);
        assert.deepEqual((await all("SELECT x FROM other ORDER BY x")).results, [{ x: 1 }, { x: 2 }]);
      });

      test("passes SQL errors as D1 does", async () => {
        await refuses(all("SELECT nope FROM thing"), /^D1_ERROR: no such column: nope at offset 7: SQLITE_ERROR$/);
        await refuses(run("INSERT INTO thing (id, n) VALUES ('e', NULL)"), /^D1_ERROR: NOT NULL constraint failed: thing\.n: SQLITE_CONSTRAINT/);
        await refuses(all("-- nothing"), /^D1_ERROR: No SQL statements detected\.$/);
        await refuses(run("SELECT ?", 1, 2), /^D1_ERROR: Wrong number of parameter bindings for SQL query/);
        await refuses(does("exec", "", "SELECT nope"), /^D1_EXEC_ERROR: Error in line 1: SELECT nope: no such column: nope/);
      });
    });

    describe("Queue", () => {
      const entries = () => does("log", "entries");
      // All deliveries of messages whose body has this tag, in order.
      const deliveries = async (tag) =>
        (await entries()).flatMap(({ queue, at, messages }) => messages.filter((m) => m.body?.tag === tag).map((m) => ({ queue, at, ...m })));
      const delivered = (tag, count) =>
        eventually(`${count} deliveries of ${tag}`, async () => {
          const found = await deliveries(tag);
          return found.length >= count ? found : undefined;
        });

      test("delivers bodies of every content type", async () => {
        await does("queue", "send", { tag: "types", kind: "default" });
        await does("queue", "send", { tag: "types", kind: "json", n: [1.5, null, "é☃"] }, { contentType: "json" });
        await does("queue", "send", "text-é☃", { contentType: "text" });
        await does("queue", "send", { $bytes: [0, 128, 255] }, { contentType: "bytes" });
        await does("queue", "send", { tag: "types", kind: "v8", when: { $date: 12345 } }, { contentType: "v8" });
        const found = await delivered("types", 3);
        assert.deepEqual(found.map((m) => m.body).sort((a, b) => (a.kind < b.kind ? -1 : 1)), [
          { tag: "types", kind: "default" },
          { tag: "types", kind: "json", n: [1.5, null, "é☃"] },
          { tag: "types", kind: "v8", when: { $date: 12345 } },
        ]);
        const bodies = (await entries()).flatMap((entry) => entry.messages.map((m) => JSON.stringify(m.body)));
        assert.ok(bodies.includes('"text-é☃"'));
        assert.ok(bodies.includes('{"$bytes":[0,128,255]}'));
      });

      test("delivers a batch's bodies of every content type", async () => {
        await does("queue", "sendBatch", [
          { body: { tag: "mixed", i: 0 } },
          { body: { tag: "mixed", i: 1, when: { $date: 7 } }, contentType: "v8" },
          { body: "mixed-text-☃", contentType: "text" },
          { body: { tag: "mixed", i: 2 }, contentType: "json" },
          { body: { $bytes: [9, 200] }, contentType: "bytes" },
        ]);
        const found = await delivered("mixed", 3);
        assert.deepEqual(found.map((m) => m.body), [{ tag: "mixed", i: 0 }, { tag: "mixed", i: 1, when: { $date: 7 } }, { tag: "mixed", i: 2 }]);
        const bodies = (await entries()).flatMap((entry) => entry.messages.map((m) => JSON.stringify(m.body)));
        assert.ok(bodies.includes('"mixed-text-☃"'));
        assert.ok(bodies.includes('{"$bytes":[9,200]}'));
      });

      test("delivers in order, in batches of at most max_batch_size, each message once", async () => {
        const batch = (from) => Array.from({ length: 12 }, (_, i) => ({ body: { tag: "order", i: from + i } }));
        for (let from = 0; from < 48; from += 12) await does("queue", "sendBatch", batch(from));
        const found = await delivered("order", 48);
        assert.deepEqual(found.map((m) => m.body.i), Array.from({ length: 48 }, (_, i) => i));
        assert.equal(new Set(found.map((m) => m.id)).size, 48);
        assert.ok((await entries()).every((entry) => entry.messages.length <= 10));
        assert.ok(found.every((m) => m.attempts === 1 && m.queue === "usage-events"));
      });

      test("waits for more until max_batch_timeout", async () => {
        await does("queue", "send", { tag: "wait", i: 0 });
        await does("queue", "send", { tag: "wait", i: 1 });
        const found = await delivered("wait", 2);
        assert.equal(found[0].at, found[1].at);
        assert.ok(found[0].age >= 900 && found[0].age < 2500, `delivered after ${found[0].age} ms`);
      });

      test("holds a delayed message back, also within a batch", async () => {
        await does("queue", "sendBatch", [
          { body: { tag: "delay", i: "late" }, delaySeconds: 2 },
          { body: { tag: "delay", i: "early" } },
        ]);
        await does("queue", "send", { tag: "delay", i: "single" }, { delaySeconds: 2 });
        const sent = Date.now();
        const found = await delivered("delay", 3);
        assert.equal(found[0].body.i, "early");
        for (const late of found.slice(1)) assert.ok(late.at - sent >= 1800, `${late.body.i} came after ${late.at - sent} ms`);
      });

      test("delivers a retried message again, with its id and the next attempt", async () => {
        await does("queue", "sendBatch", [{ body: { tag: "retry", wish: "retry-once" } }, { body: { tag: "retry", wish: "ack" } }]);
        const found = await delivered("retry", 3);
        assert.deepEqual(found.map((m) => [m.body.wish, m.attempts]), [["retry-once", 1], ["ack", 1], ["retry-once", 2]]);
        assert.equal(found[2].id, found[0].id);
      });

      test("retries after the delay that was asked for", async () => {
        await does("queue", "send", { tag: "later", wish: "retry-later" });
        const [first, second] = await delivered("later", 2);
        assert.ok(second.at - first.at >= 1900, `came again after ${second.at - first.at} ms`);
        assert.equal(second.attempts, 2);
      });

      test("retryAll brings the whole batch again", async () => {
        await does("queue", "sendBatch", [0, 1, 2].map((i) => ({ body: { tag: "all", i, wish: "retry-all" } })));
        const found = await delivered("all", 6);
        assert.deepEqual(found.map((m) => [m.body.i, m.attempts]), [[0, 1], [1, 1], [2, 1], [0, 2], [1, 2], [2, 2]]);
      });

      test("moves a message to the dead letter queue when its retries are spent", async () => {
        await does("queue", "send", { tag: "dead", wish: "retry" });
        const found = await delivered("dead", 4);
        assert.deepEqual(found.map((m) => [m.queue, m.attempts]), [["usage-events", 1], ["usage-events", 2], ["usage-events", 3], ["usage-events-dead", 1]]);
        assert.equal(new Set(found.map((m) => m.id)).size, 1);
      });

      test("refuses what is too large", async () => {
        await refuses(does("queue", "send", { $repeat: "x", times: 128_001 }, { contentType: "text" }), /./);
        await refuses(does("queue", "sendBatch", [{ body: { $repeat: "x", times: 128_001 }, contentType: "text" }]), /./);
        await refuses(does("queue", "sendBatch", Array.from({ length: 101 }, () => ({ body: 1 }))), /./);
        await refuses(does("queue", "sendBatch", Array.from({ length: 3 }, () => ({ body: { $repeat: "x", times: 100_000 }, contentType: "text" }))), /./);
        await does("queue", "send", { $repeat: "x", times: 128_000 }, { contentType: "text" });
      });
    });
  });
}
