// The KV binding's protocol over SQLite.
//
//   GET    /<key>?urlencoded=true[&cache_ttl]     value; metadata in CF-KV-Metadata; 404 if absent
//   PUT    /<key>?urlencoded=true[&expiration|&expiration_ttl]   metadata in CF-KV-Metadata
//   DELETE /<key>?urlencoded=true
//   GET    /?[key_count_limit][&prefix][&cursor]  names in byte order, metadata as JSON text
//   POST   /bulk/get {keys, type, withMetadata, cacheTtl}
//
// Limits are the platform's: key 512 bytes, value 25 MiB, metadata 1024 bytes, 1000 names a page,
// 100 keys a bulk read, lifetime at least 60 s. `cache_ttl` is checked and otherwise unused: reads
// are always current here. Times are Unix seconds.
//
// SQLite in workerd refuses values over 2 MB, so a larger one lies in parts of 1 MB. An expired key
// is absent at once; its row is swept by a later write, so an idle store needs no timer.
import { DurableObject } from "cloudflare:workers";
import { Refusal, answer } from "./reply.mjs";

const MAX_KEY = 512;
const MAX_VALUE = 25 * 1024 * 1024;
const MAX_METADATA = 1024;
const MAX_PAGE = 1000;
const MAX_BULK = 100;
const MIN_TTL_S = 60;
const MIN_CACHE_TTL_S = 30;
const PART = 1024 * 1024;
const SWEEP_EVERY_S = 60;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS entry (
  key TEXT PRIMARY KEY, value BLOB, parts INTEGER NOT NULL, metadata TEXT, expires INTEGER);
CREATE TABLE IF NOT EXISTS part (
  key TEXT NOT NULL, n INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, n)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_expires ON entry (expires) WHERE expires IS NOT NULL;
`;
const LIVE = "(expires IS NULL OR expires > ?)";

const now = () => Math.floor(Date.now() / 1000);
const utf8 = new TextEncoder();
const text = new TextDecoder();

export class KvStore extends DurableObject {
  #sql;
  #sweptAt = 0;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(SCHEMA);
  }

  fetch(request) {
    return answer(request, () => this.#route(request));
  }

  #route(request) {
    const url = new URL(request.url);
    if (request.method === "POST" && url.pathname === "/bulk/get") return this.#bulk(request);
    if (request.method === "GET" && url.pathname === "/") return this.#list(url.searchParams);
    const key = keyOf(url);
    switch (request.method) {
      case "GET": return this.#get(key, url.searchParams);
      case "PUT": return this.#put(key, url.searchParams, request);
      case "DELETE": return this.#delete(key);
      default: throw new Refusal(405, "Method Not Allowed");
    }
  }

  #get(key, query) {
    checkCacheTtl(query.get("cache_ttl"));
    const entry = this.#read(key);
    if (entry === undefined) return new Response("Not Found", { status: 404 });
    const headers = new Headers();
    if (entry.expires !== null) headers.set("CF-Expiration", String(entry.expires));
    if (entry.metadata !== null) headers.set("CF-KV-Metadata", entry.metadata);
    return new Response(entry.value, { headers });
  }

  #read(key) {
    const [entry] = this.#sql
      .exec(`SELECT value, parts, metadata, expires FROM entry WHERE key = ? AND ${LIVE}`, key, now())
      .toArray();
    if (entry?.parts > 0) entry.value = this.#join(key);
    return entry;
  }

  #join(key) {
    const parts = this.#sql.exec("SELECT value FROM part WHERE key = ? ORDER BY n", key).toArray();
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.value.byteLength, 0));
    let at = 0;
    for (const { value } of parts) {
      whole.set(new Uint8Array(value), at);
      at += value.byteLength;
    }
    return whole.buffer;
  }

  async #put(key, query, request) {
    const expires = expiryOf(query);
    const metadata = request.headers.get("CF-KV-Metadata");
    if (metadata !== null) checkMetadata(metadata);
    checkValue(Number(request.headers.get("Content-Length") ?? 0));
    const value = new Uint8Array(await request.arrayBuffer());
    checkValue(value.byteLength);
    this.#write(key, value, metadata, expires);
    this.#sweep();
    return new Response();
  }

  // Runs without an await, so the statements commit together.
  #write(key, value, metadata, expires) {
    const parts = value.byteLength > PART ? Math.ceil(value.byteLength / PART) : 0;
    const sql = this.#sql;
    sql.exec("DELETE FROM part WHERE key = ?", key);
    sql.exec(
      "INSERT OR REPLACE INTO entry (key, value, parts, metadata, expires) VALUES (?, ?, ?, ?, ?)",
      key, parts === 0 ? value : null, parts, metadata, expires,
    );
    for (let n = 0; n < parts; n++) {
      sql.exec("INSERT INTO part (key, n, value) VALUES (?, ?, ?)", key, n, value.slice(n * PART, (n + 1) * PART));
    }
  }

  #delete(key) {
    this.#sql.exec("DELETE FROM part WHERE key = ?", key);
    this.#sql.exec("DELETE FROM entry WHERE key = ?", key);
    return new Response();
  }

  #sweep() {
    const at = now();
    if (at - this.#sweptAt < SWEEP_EVERY_S) return;
    this.#sweptAt = at;
    this.#sql.exec("DELETE FROM part WHERE key IN (SELECT key FROM entry WHERE expires <= ? AND parts > 0)", at);
    this.#sql.exec("DELETE FROM entry WHERE expires <= ?", at);
  }

  // A cursor is the last name of the page before, so names added or removed meanwhile do no harm.
  #list(query) {
    const limit = Number(query.get("key_count_limit") ?? MAX_PAGE);
    if (!(limit >= 1)) throw new Refusal(400, `Invalid key_count_limit of ${limit}. Please specify an integer greater than 0.`);
    if (limit > MAX_PAGE) throw new Refusal(400, `Invalid key_count_limit of ${limit}. Please specify an integer less than ${MAX_PAGE}.`);
    const prefix = query.get("prefix") ?? "";
    checkLength(prefix);
    const cursor = query.get("cursor");
    const after = cursor ? decodeCursor(cursor) : "";
    const rows = this.#sql
      .exec(
        `SELECT key AS name, expires AS expiration, metadata FROM entry
         WHERE key >= ? AND key < ? AND key > ? AND ${LIVE} ORDER BY key LIMIT ?`,
        prefix, endOf(prefix), after, now(), limit + 1,
      )
      .toArray();
    const more = rows.length > limit;
    if (more) rows.pop();
    const keys = rows.map(({ name, expiration, metadata }) => ({
      name,
      expiration: expiration ?? undefined,
      metadata: metadata ?? undefined,
    }));
    return Response.json({
      keys,
      list_complete: !more,
      cursor: more ? encodeCursor(keys.at(-1).name) : undefined,
      cacheStatus: null,
    });
  }

  async #bulk(request) {
    const { keys, type = "text", withMetadata = false, cacheTtl } = await request.json();
    if (type !== "text" && type !== "json") throw new Refusal(400, `"${type}" is not a valid type. Use "json" or "text"`);
    if (keys.length > MAX_BULK) throw new Refusal(400, `You can request a maximum of ${MAX_BULK} keys`);
    if (keys.length < 1) throw new Refusal(400, "You must request a minimum of 1 key");
    checkCacheTtl(cacheTtl ?? null);
    let size = 0;
    const values = {};
    for (const key of keys) {
      checkKey(key);
      const entry = this.#read(key);
      size += entry?.value.byteLength ?? 0;
      if (size > MAX_VALUE) throw new Refusal(413, "Total size of request exceeds the limit of 25MB");
      values[key] = entry === undefined ? null : bulkValue(entry, type, withMetadata);
    }
    return Response.json(values);
  }
}

function bulkValue(entry, type, withMetadata) {
  const value = type === "json" ? parsed(entry.value) : text.decode(entry.value);
  if (!withMetadata) return value;
  return { value, metadata: entry.metadata === null ? null : JSON.parse(entry.metadata) };
}

function parsed(value) {
  try {
    return JSON.parse(text.decode(value));
  } catch {
    throw new Refusal(400, "At least one of the requested keys corresponds to a non-json value");
  }
}

function keyOf(url) {
  const raw = url.pathname.slice(1);
  const key = url.searchParams.get("urlencoded") === "true" ? decoded(raw) : raw;
  checkKey(key);
  return key;
}

function decoded(raw) {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new Refusal(400, "Could not URL-decode key name");
  }
}

function checkKey(key) {
  if (key === "") throw new Refusal(400, "Key names must not be empty");
  if (key === "." || key === "..") throw new Refusal(400, `Illegal key name "${key}". Please use a different name.`);
  checkLength(key);
}

function checkLength(key) {
  const size = utf8.encode(key).byteLength;
  if (size > MAX_KEY) throw new Refusal(414, `UTF-8 encoded length of ${size} exceeds key length limit of ${MAX_KEY}.`);
}

function checkValue(size) {
  if (size > MAX_VALUE) throw new Refusal(413, `Value length of ${size} exceeds limit of ${MAX_VALUE}.`);
}

function checkMetadata(metadata) {
  const size = utf8.encode(metadata).byteLength;
  if (size > MAX_METADATA) throw new Refusal(413, `Metadata length of ${size} exceeds limit of ${MAX_METADATA}.`);
}

function checkCacheTtl(ttl) {
  if (ttl === null || Number(ttl) >= MIN_CACHE_TTL_S) return;
  throw new Refusal(400, `Invalid cache_ttl of ${ttl}. Cache TTL must be at least ${MIN_CACHE_TTL_S}.`);
}

function expiryOf(query) {
  const ttl = query.get("expiration_ttl");
  if (ttl !== null) return now() + lifetime("expiration_ttl", ttl, Number(ttl), "Expiration TTL must be at least 60.");
  const at = query.get("expiration");
  if (at === null) return null;
  return now() + lifetime("expiration", at, Number(at) - now(), "Expiration times must be at least 60 seconds in the future.");
}

function lifetime(field, given, seconds, rule) {
  if (Number.isInteger(seconds) && seconds >= MIN_TTL_S) return seconds;
  throw new Refusal(400, `Invalid ${field} of ${given}. ${rule}`);
}

// The least text above every name with this prefix, in code point order: the highest one appended.
const endOf = (prefix) => `${prefix}\u{10ffff}`;

function encodeCursor(name) {
  return btoa(String.fromCharCode(...utf8.encode(name)));
}

function decodeCursor(cursor) {
  try {
    return text.decode(Uint8Array.from(atob(cursor), (c) => c.charCodeAt(0)));
  } catch {
    throw new Refusal(400, "Invalid cursor");
  }
}
