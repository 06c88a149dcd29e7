// The Queue binding's protocol, and the delivery to the consumer, over SQLite.
//
//   POST /message   one body as bytes; X-Msg-Fmt (default v8), X-Msg-Delay-Secs
//   POST /batch     {"messages":[{body: base64, contentType?, delaySecs?}]}; sizes in CF-Queue-* headers
//   GET  /metrics
//   put(letters)    by RPC, from another queue: its dead letters, with their ids and times
//
// Promises: a message is on disk before the producer is answered; it is delivered at least once, in
// batches, first in first out, until the consumer acknowledges it or its retries are spent, when it
// moves to the dead letter queue (without one it is dropped, with a line in the log). Only one batch
// is out at a time. Nothing is lost or stalled by kill -9 or by a consumer that fails for long: an
// alarm is set whenever there is something to deliver, and a batch that was out simply comes again.
//
// Two tables. What a producer sends in one call is one row of `packet`, as it came: writing, reading
// and deleting a hundred messages is one statement each. Only messages with a story of their own (a
// delay, a failed attempt, a dead letter) become rows of `single`. A packet's sequence number starts
// with its arrival in milliseconds, and a message's id is that number and its place in the packet.
//
// Settings (binding QUEUES: {name: {...}}): maxBatchSize, maxBatchTimeout s, maxRetries, retryDelay s,
// deadLetterQueue, deliveryDelay s, consumer: the name of the service binding that has `queue()`. A
// queue without `consumer` keeps its messages.
//
// Unlike the platform, a retry that names no delay waits, longer each time (1 s to 1 min), and so a
// consumer that fails for a quarter of an hour does not send everything to the dead letters.
import { DurableObject } from "cloudflare:workers";
import { Refusal, answer } from "./reply.mjs";

const MAX_MESSAGE = 128_000;
const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 256_000;
const FORMATS = new Set(["text", "json", "bytes", "v8"]);

const MAX_BACKOFF_MS = 60_000;
const MAX_PAUSE_MS = 10_000;
// A consumer that has not answered by then is taken to have failed, as after the platform's limit.
const CONSUMER_LIMIT_MS = 15 * 60_000;
// One event drains for so long; then the alarm goes on, which has a time limit of its own.
const DRAIN_MS = 60_000;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS packet (seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, format TEXT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS single (
  n INTEGER PRIMARY KEY, due INTEGER NOT NULL, attempts INTEGER NOT NULL,
  id TEXT NOT NULL, sent INTEGER NOT NULL, format TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS single_due ON single (due);
`;
// Milliseconds times this leave room for a packet every microsecond below 2^53.
const PER_MS = 1000;

const text = new TextDecoder();

export class QueueStore extends DurableObject {
  #sql;
  #storage;
  #name;
  #settings;
  #consumer;
  // What the tables hold, kept beside them so that a send costs one statement: messages in `packet`
  // and when the oldest was sent, the earliest `single.due`, all messages and their bytes.
  #waiting;
  #oldestSent;
  #nextDue;
  #count;
  #bytes;
  #lastSeq;
  // When the alarm set will fire, null if none is known to be set.
  #alarmAt = null;
  // The delivery under way, null if none.
  #drain = null;
  // Batches failed in a row, and until when to leave the consumer alone.
  #failures = 0;
  #pausedUntil = 0;

  constructor(ctx, env) {
    super(ctx, env);
    this.#storage = ctx.storage;
    this.#sql = ctx.storage.sql;
    this.#sql.exec(SCHEMA);
    // An object woken by its alarm does not know its own name.
    this.#name = Object.keys(env.QUEUES).find((name) => env.STORE_QUEUE.idFromName(name).equals(ctx.id));
    this.#settings = {
      maxBatchSize: 10, maxBatchTimeout: 5, maxRetries: 3, retryDelay: null, deadLetterQueue: null, deliveryDelay: 0,
      ...env.QUEUES[this.#name],
    };
    this.#consumer = env[this.#settings.consumer];
    this.#takeStock();
  }

  #takeStock() {
    const [packets] = this.#sql
      .exec("SELECT total(count) AS count, total(length(body)) AS bytes, min(seq) AS first, max(seq) AS last FROM packet")
      .toArray();
    const [singles] = this.#sql
      .exec("SELECT count(*) AS count, total(length(body)) AS bytes, min(due) AS due FROM single")
      .toArray();
    this.#waiting = packets.count;
    this.#oldestSent = packets.first === null ? null : sentAt(packets.first);
    this.#nextDue = singles.due ?? Infinity;
    this.#count = packets.count + singles.count;
    this.#bytes = packets.bytes + singles.bytes;
    this.#lastSeq = packets.last ?? 0;
  }

  fetch(request) {
    return answer(request, async () => {
      const { method, url } = request;
      if (method === "POST" && url.endsWith("/batch")) await this.#batch(request);
      else if (method === "POST" && url.endsWith("/message")) await this.#message(request);
      else if (method === "GET" && url.endsWith("/metrics")) return Response.json(this.#metrics());
      else throw new Refusal(404, "Not Found");
      this.#wake();
      return Response.json({ metadata: { metrics: this.#metrics() } });
    });
  }

  // Takes another queue's dead letters: [{id, sent, format, body}].
  put(letters) {
    for (const letter of letters) this.#insertSingle({ ...letter, due: Date.now(), attempts: 0 });
    this.#wake();
  }

  async alarm() {
    this.#alarmAt = null;
    await this.#deliver();
    this.#wake();
  }

  // --- producing

  async #message(request) {
    const format = request.headers.get("X-Msg-Fmt") ?? "v8";
    if (!FORMATS.has(format)) throw new Refusal(400, `message content type ${format} is invalid; must be one of 'text', 'json', 'bytes', or 'v8'`);
    const delay = delayOf(request.headers.get("X-Msg-Delay-Secs") ?? this.#settings.deliveryDelay);
    const body = await request.arrayBuffer();
    if (body.byteLength > MAX_MESSAGE) throw new Refusal(413, `message length of ${body.byteLength} bytes exceeds limit of ${MAX_MESSAGE}`);
    if (delay === 0) this.#insertPacket(1, format, body);
    else this.#insertSingle({ ...this.#identity(), due: Date.now() + delay * 1000, attempts: 0, format, body });
  }

  async #batch(request) {
    checkBatch(request.headers);
    const count = Number(request.headers.get("CF-Queue-Batch-Count"));
    const delay = delayOf(request.headers.get("X-Msg-Delay-Secs") ?? this.#settings.deliveryDelay);
    const body = await request.text();
    // Bodies are base64, so the name of the field cannot occur inside one.
    const plain = delay === 0 && !body.includes('"delaySecs"') && count > 0 && count <= this.#settings.maxBatchSize;
    if (plain) this.#insertPacket(count, null, body);
    else this.#insertApart(JSON.parse(body).messages, delay);
  }

  // A batch with delays, or larger than the consumer takes: message by message.
  #insertApart(messages, delay) {
    for (const { body, contentType = "v8", delaySecs } of messages) {
      const wait = delayOf(delaySecs ?? delay);
      const bytes = Uint8Array.fromBase64(body);
      if (wait === 0) this.#insertPacket(1, contentType, bytes);
      else this.#insertSingle({ ...this.#identity(), due: Date.now() + wait * 1000, attempts: 0, format: contentType, body: bytes });
    }
  }

  #nextSeq() {
    return (this.#lastSeq = Math.max(this.#lastSeq + 1, Date.now() * PER_MS));
  }

  #identity() {
    const seq = this.#nextSeq();
    return { id: idOf(seq, 0), sent: sentAt(seq) };
  }

  #insertPacket(count, format, body) {
    const seq = this.#nextSeq();
    this.#sql.exec("INSERT INTO packet (seq, count, format, body) VALUES (?, ?, ?, ?)", seq, count, format, body);
    this.#waiting += count;
    this.#oldestSent ??= sentAt(seq);
    this.#counted(count, sizeOf(body));
  }

  #insertSingle({ due, attempts, id, sent, format, body }) {
    this.#sql.exec(
      "INSERT INTO single (due, attempts, id, sent, format, body) VALUES (?, ?, ?, ?, ?, ?)",
      due, attempts, id, sent, format, body,
    );
    this.#nextDue = Math.min(this.#nextDue, due);
    this.#counted(1, sizeOf(body));
  }

  #counted(messages, bytes) {
    this.#count += messages;
    this.#bytes += bytes;
  }

  #metrics() {
    return { backlogCount: this.#count, backlogBytes: this.#bytes, oldestMessageTimestamp: this.#oldestSent ?? 0 };
  }

  // --- delivering

  // Starts a delivery if a batch is full, and sees to it that an alarm is set for whatever is left.
  #wake() {
    if (this.#consumer === undefined) return;
    const now = Date.now();
    const at = this.#nextDelivery(now);
    if (at === null) return;
    if (at <= now && this.#drain === null) this.ctx.waitUntil(this.#deliver().then(() => this.#wake()));
    // The alarm is also set for what is delivered now: it is what survives a kill.
    const alarm = at > now ? at : now + this.#settings.maxBatchTimeout * 1000;
    if (this.#alarmAt !== null && this.#alarmAt <= alarm) return;
    this.#alarmAt = alarm;
    this.#storage.setAlarm(alarm);
  }

  // When the next batch is to go out, null if there is nothing to deliver.
  #nextDelivery(now) {
    const { maxBatchSize, maxBatchTimeout } = this.#settings;
    let at = this.#nextDue;
    if (this.#waiting >= maxBatchSize) at = now;
    else if (this.#waiting > 0) at = Math.min(at, this.#oldestSent + maxBatchTimeout * 1000);
    return at === Infinity ? null : Math.max(at, this.#pausedUntil);
  }

  // Delivers batch after batch until none is due. Never two at a time; a second caller waits along.
  #deliver() {
    return (this.#drain ??= this.#drainDue().finally(() => {
      this.#drain = null;
    }));
  }

  async #drainDue() {
    const end = Date.now() + DRAIN_MS;
    for (let now = Date.now(); now < end; now = Date.now()) {
      const at = this.#nextDelivery(now);
      if (at === null || at > now) return;
      try {
        await this.#deliverBatch(this.#take(now));
      } catch (error) {
        // The batch is still on disk. An alarm that throws is given up after a few times, so it must not.
        console.error(`queue ${this.#name}: a delivery could not be recorded: ${error.stack ?? error}`);
        this.#pause();
      }
    }
  }

  #pause() {
    this.#failures += 1;
    this.#pausedUntil = Date.now() + Math.min(100 * 2 ** this.#failures, MAX_PAUSE_MS);
  }

  // The next batch: what was held back and is due, then the oldest packets that fit.
  #take(now) {
    const limit = this.#settings.maxBatchSize;
    const singles = this.#sql
      .exec("SELECT n, attempts, id, sent, format, body FROM single WHERE due <= ? ORDER BY due, n LIMIT ?", now, limit)
      .toArray();
    const batch = { singles: singles.map((row) => row.n), lastSeq: null, packed: 0, bytes: 0, messages: [] };
    for (const row of singles) {
      batch.bytes += sizeOf(row.body);
      batch.messages.push(row);
    }
    for (const packet of this.#sql.exec("SELECT seq, count, format, body FROM packet ORDER BY seq")) {
      // One packet always fits, or a smaller maxBatchSize than before would stop the queue.
      if (batch.messages.length > 0 && batch.messages.length + packet.count > limit) break;
      batch.lastSeq = packet.seq;
      batch.packed += packet.count;
      batch.bytes += sizeOf(packet.body);
      unpack(packet, batch.messages);
      if (batch.messages.length >= limit) break;
    }
    return batch;
  }

  async #deliverBatch(batch) {
    const result = await this.#consume(batch.messages);
    if (result.outcome === "ok") this.#failures = this.#pausedUntil = 0;
    else this.#pause();
    const { dead, again } = this.#judge(retriesOf(result, batch.messages));
    // The dead letter queue has them on disk before they leave this one: twice rather than never.
    if (dead.length > 0) await this.#bury(dead);
    this.#settle(batch, again);
  }

  async #consume(messages) {
    let timer;
    const limit = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("the consumer did not answer in time")), CONSUMER_LIMIT_MS);
    });
    try {
      const incoming = messages.map(incomingOf);
      return await Promise.race([this.#consumer.queue(this.#name, incoming, { metrics: this.#metrics() }), limit]);
    } catch (error) {
      console.error(`queue ${this.#name}: a batch of ${messages.length} failed: ${error.message ?? error}`);
      return { outcome: "exception" };
    } finally {
      clearTimeout(timer);
    }
  }

  // Splits what failed into what is tried again, and when, and what has been tried often enough.
  #judge(retries) {
    const { maxRetries, retryDelay } = this.#settings;
    const dead = [];
    const again = [];
    for (const { message, delay } of retries) {
      const attempts = message.attempts + 1;
      const wait = delay ?? retryDelay;
      if (attempts > maxRetries) dead.push(message);
      else again.push({ ...message, attempts, due: Date.now() + (wait === null ? backoff(attempts) : wait * 1000) });
    }
    return { dead, again };
  }

  async #bury(dead) {
    const target = this.#settings.deadLetterQueue;
    if (target === null) {
      console.error(`queue ${this.#name}: dropped ${dead.length} messages after ${this.#settings.maxRetries} retries`);
      return;
    }
    await this.env.STORE_QUEUE.getByName(target).put(dead.map(({ id, sent, format, body }) => ({ id, sent, format, body })));
  }

  // Runs without an await, so what leaves and what stays commit together.
  #settle(batch, again) {
    this.#counted(-batch.messages.length, -batch.bytes);
    if (batch.lastSeq !== null) {
      this.#sql.exec("DELETE FROM packet WHERE seq <= ?", batch.lastSeq);
      this.#waiting -= batch.packed;
      const [{ first }] = this.#sql.exec("SELECT min(seq) AS first FROM packet").toArray();
      this.#oldestSent = first === null ? null : sentAt(first);
    }
    if (batch.singles.length > 0) {
      this.#sql.exec("DELETE FROM single WHERE n IN (SELECT value FROM json_each(?))", JSON.stringify(batch.singles));
      const [{ due }] = this.#sql.exec("SELECT min(due) AS due FROM single").toArray();
      this.#nextDue = due ?? Infinity;
    }
    for (const message of again) this.#insertSingle(message);
  }
}

function delayOf(given) {
  const delay = Number(given);
  if (Number.isInteger(delay) && delay >= 0 && delay <= 86_400) return delay;
  throw new Refusal(400, `message delay ${given} is invalid: must be a whole number of seconds up to 86400`);
}

function checkBatch(headers) {
  const limits = [
    ["CF-Queue-Batch-Count", MAX_BATCH, "batch message count"],
    ["CF-Queue-Largest-Msg", MAX_MESSAGE, "length of a message in the batch"],
    ["CF-Queue-Batch-Bytes", MAX_BATCH_BYTES, "batch size in bytes"],
  ];
  for (const [header, limit, what] of limits) {
    const value = Number(headers.get(header));
    if (value > limit) throw new Refusal(413, `${what} of ${value} exceeds limit of ${limit}`);
  }
}

// --- messages: {id, sent, format, body: bytes, attempts}, attempts being those that failed

const idOf = (seq, index) => seq.toString(16).padStart(16, "0") + index.toString(16).padStart(16, "0");
const sentAt = (seq) => Math.floor(seq / PER_MS);
const sizeOf = (body) => body.byteLength ?? body.length;
const backoff = (attempts) => Math.min(1000 * 2 ** (attempts - 1), MAX_BACKOFF_MS);

// A packet is either one message's bytes in a format or, with format null, a producer's whole batch.
function unpack({ seq, format, body }, messages) {
  const sent = sentAt(seq);
  if (format !== null) {
    messages.push({ id: idOf(seq, 0), sent, format, body, attempts: 0 });
    return;
  }
  JSON.parse(body).messages.forEach((message, index) => {
    messages.push({
      id: idOf(seq, index),
      sent,
      format: message.contentType ?? "v8",
      body: Uint8Array.fromBase64(message.body),
      attempts: 0,
    });
  });
}

function incomingOf({ id, sent, format, body, attempts }) {
  const message = { id, timestamp: new Date(sent), attempts: attempts + 1 };
  switch (format) {
    case "text": return { ...message, body: text.decode(body) };
    case "json": return { ...message, body: JSON.parse(text.decode(body)) };
    case "bytes": return { ...message, body };
    default: return { ...message, serializedBody: body };
  }
}

// What the consumer did not take: [{message, delay}], the delay in seconds or null if it named none.
// A message it acknowledged is done even if it failed afterwards.
function retriesOf({ outcome, retryBatch, ackAll, explicitAcks = [], retryMessages = [] }, messages) {
  const all = outcome !== "ok" || (retryBatch?.retry && !ackAll);
  if (!all && retryMessages.length === 0) return [];
  const acked = new Set(explicitAcks);
  const named = new Map(retryMessages.map((retry) => [retry.msgId, retry.delaySeconds]));
  return messages
    .filter(({ id }) => !acked.has(id) && (all || named.has(id)))
    .map((message) => ({ message, delay: named.get(message.id) ?? retryBatch?.delaySeconds ?? null }));
}
