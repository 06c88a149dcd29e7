// A provider that does as it is told: an HTTP server whose every answer is scripted, and which remembers
// what it was sent. A behaviour is a function of the exchange; the model that the request names (in its
// body, its form or its path, whatever the dialect) chooses it, so that tests beside each other do not meet.
// What names no model is chosen by its path.
import { once } from "node:events";
import { createServer } from "node:http";
import { parsed } from "./chat.mjs";
import { freePort, pause } from "./common.mjs";

// `models/m:verb`, `model/m/converse`, `deployments/m/chat`.
const IN_PATH = /\/(?:models?|deployments)\/([^/:?]+)/;
const IN_FORM = /name="model"\r\n\r\n([^\r]*)\r\n/;

function nameOf(url, body, raw) {
  const inPath = IN_PATH.exec(url)?.[1];
  return inPath === undefined ? (body?.model ?? IN_FORM.exec(raw.toString("latin1"))?.[1] ?? url.split("?")[0]) : decodeURIComponent(inPath);
}

// One request as the provider saw it.
class Exchange {
  constructor(request, response, raw) {
    const body = parsed(raw.toString());
    Object.assign(this, { response, raw, body, path: request.url, headers: request.headers, name: nameOf(request.url, body, raw), sent: [] });
    // The gateway hung up before the answer was complete.
    this.aborted = false;
    this.closed = new Promise((done) => response.once("close", () => {
      this.aborted = !response.writableFinished;
      done();
    }));
  }

  head(status, headers) {
    this.response.writeHead(status, headers);
    this.response.flushHeaders();
  }

  // Bytes as a chunk of their own, as far as TCP lets them be one.
  write(bytes) {
    this.sent.push(Buffer.from(bytes));
    this.response.write(bytes);
  }

  reset() {
    this.response.socket.resetAndDestroy();
  }

  // Everything written so far.
  bytes() {
    return Buffer.concat(this.sent);
  }
}

export async function startFakeProvider() {
  const behaviours = new Map();
  const received = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const exchange = new Exchange(request, response, Buffer.concat(parts));
    received.push(exchange);
    const behaviour = behaviours.get(exchange.name);
    if (behaviour === undefined) return void response.writeHead(404, { "content-type": "application/json" }).end('{"error":{"message":"no such model"}}');
    await behaviour(exchange);
    if (!response.writableEnded && !response.destroyed) response.end();
  });
  // Longer than the gateway keeps a connection: who closes first may meet the other's next request.
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    url: `${origin}/v1`,
    // A place where nobody listens.
    deadUrl: `http://127.0.0.1:${await freePort()}/v1`,
    when(name, behaviour) { behaviours.set(name, behaviour); },
    received: (name) => received.filter((exchange) => exchange.name === name),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

// --- Behaviours ----------------------------------------------------------------------------------

// A whole body.
export const answers = (body, { status = 200, headers = {} } = {}) => (exchange) => {
  exchange.head(status, { "content-type": "application/json", ...headers });
  exchange.write(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
};

// An error as OpenAI words one.
export const fails = (status, headers = {}, message = `status ${status} from the fake`) =>
  answers({ error: { message, type: "fake_error", param: null, code: "fake" } }, { status, headers });

// A stream: texts and bytes are written as they stand, numbers are pauses in milliseconds, functions
// are called with the exchange and waited for.
export const streams = (pieces, { status = 200, headers = {} } = {}) => async (exchange) => {
  exchange.head(status, { "content-type": "text/event-stream", ...headers });
  for (const piece of pieces) {
    if (exchange.response.destroyed) return;
    if (typeof piece === "number") await pause(piece);
    else if (typeof piece === "function") await piece(exchange);
    else exchange.write(piece);
  }
};

// Never says anything.
export const hangs = (exchange) => exchange.closed;
export const resets = (exchange) => exchange.reset();

// Pieces of a stream.
export const reset = async (exchange) => {
  await pause(20);
  exchange.reset();
};
export const hang = hangs;

// The same bytes, cut anew: into pieces of these sizes, over and over.
export function cut(text, ...sizes) {
  const bytes = Buffer.from(text);
  const pieces = [];
  for (let at = 0, n = 0; at < bytes.length; n++) pieces.push(bytes.subarray(at, (at += sizes[n % sizes.length])));
  return pieces;
}

// A promise with its handle: what a stream waits at until the test lets it go on.
export function gate() {
  let open;
  const opened = new Promise((done) => { open = done; });
  return { open, wait: (exchange) => Promise.race([opened, exchange.closed]) };
}
