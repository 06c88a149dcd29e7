// Every provider at once, saying what it once really said. A local server below which each provider has
// its own paths, and which answers with the recorded bytes of the exchange that the prompt names:
//
//   replay:<provider>/<id>:<chunking>;
//
// It also looks at what it is asked: at the path, the credential and whether a stream is wanted, as the
// provider would. What does not fit is answered with 418 and kept in `faults`.
import { once } from "node:events";
import { createServer } from "node:http";
import { CREDENTIAL } from "../common.mjs";
import { answerOf, chunked } from "./vendor.mjs";

export const marker = (name, chunking = "whole") => `replay:${name}:${chunking};`;
const MARKER = /replay:([-a-z0-9]+\/[-a-z0-9]+):([a-z]+);/;

const bearer = (headers) => headers.authorization?.startsWith(`Bearer ${CREDENTIAL}`);
const inHeader = (name) => (headers) => headers[name]?.startsWith(CREDENTIAL);
// Anthropic takes its keys in either way; its SDKs of today use the first.
const either = (headers) => bearer(headers) || inHeader("x-api-key")(headers);
const inBody = ({ body }) => body.stream === true;

// What is served at which path (the first segment names the kind of provider), how one shows there who
// one is, and whether a stream is asked for.
const PLACES = [
  [/^\/openai\/.*\/chat\/completions$/, "openai.chat", bearer, inBody],
  [/^\/openai\/.*\/completions$/, "openai.completions", bearer, inBody],
  [/^\/openai\/.*\/responses$/, "openai.responses", bearer, inBody],
  [/^\/openai\/.*\/embeddings$/, "openai.embeddings", bearer, null],
  [/^\/azure\/openai\/(v1|deployments\/[^/]+)\/chat\/completions$/, "openai.chat", inHeader("api-key"), inBody],
  [/^\/azure\/openai\/(v1|deployments\/[^/]+)\/completions$/, "openai.completions", inHeader("api-key"), inBody],
  [/^\/azure\/openai\/(v1\/)?responses$/, "openai.responses", inHeader("api-key"), inBody],
  [/^\/azure\/openai\/(v1|deployments\/[^/]+)\/embeddings$/, "openai.embeddings", inHeader("api-key"), null],
  [/^\/anthropic\/v1\/messages$/, "anthropic.messages", either, inBody],
  [/^\/anthropic\/v1\/messages\/count_tokens$/, "anthropic.count_tokens", either, null],
  [/^\/gemini\/v1beta\/models\/[^/:]+:(generate|streamGenerate)Content$/, "gemini.generateContent", inHeader("x-goog-api-key"), ({ path }) => path.includes(":stream")],
  [/^\/gemini\/v1beta\/models\/[^/:]+:countTokens$/, "gemini.countTokens", inHeader("x-goog-api-key"), null],
  [/^\/gemini\/v1beta\/models\/[^/:]+:(batchEmbedContents|embedContent)$/, "gemini.embedContent", inHeader("x-goog-api-key"), null],
  [/^\/vertex\/v1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/google\/models\/[^/:]+:(generate|streamGenerate)Content$/, "gemini.generateContent", bearer, ({ path }) => path.includes(":stream")],
  [/^\/vertex\/v1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/google\/models\/[^/:]+:countTokens$/, "gemini.countTokens", bearer, null],
  [/^\/vertex\/v1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/google\/models\/[^/:]+:embedContent$/, "gemini.embedContent", bearer, null],
  [/^\/vertex\/v1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/google\/models\/[^/:]+:predict$/, "vertex.predict", bearer, null],
  [/^\/vertex\/v1\/projects\/[^/]+\/locations\/[^/]+\/publishers\/anthropic\/models\/[^/:]+:(streamR|r)awPredict$/, "anthropic.messages", bearer, ({ path }) => path.includes(":stream")],
  [/^\/bedrock\/model\/[^/]+\/converse(-stream)?$/, "bedrock.converse", signed, ({ path }) => path.endsWith("-stream")],
  [/^\/bedrock\/model\/[^/]+\/invoke(-with-response-stream)?$/, "bedrock.invoke", signed, ({ path }) => path.endsWith("-stream")],
  [/^\/cohere\/v2\/chat$/, "cohere.chat.v2", bearer, inBody],
  [/^\/cohere\/v2\/embed$/, "cohere.embed.v2", bearer, null],
  [/^\/ollama\/api\/chat$/, "ollama.chat", () => true, ({ body }) => body.stream !== false],
  [/^\/ollama\/api\/embed$/, "ollama.embed", () => true, null],
];

// Signature Version 4: the parts are there; whether it is right, the signing's own tests show.
function signed(headers) {
  const form = /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/[-a-z0-9]+\/bedrock\/aws4_request, ?SignedHeaders=[-a-z0-9;]+, ?Signature=[0-9a-f]{64}$/;
  return form.test(headers.authorization ?? "") && /^\d{8}T\d{6}Z$/.test(headers["x-amz-date"] ?? "");
}

export async function startReplay(exchanges) {
  const known = new Map(exchanges.map((exchange) => [exchange.name, exchange]));
  const faults = [];
  const server = createServer(async (request, response) => {
    request.socket.setNoDelay(true);
    const parts = [];
    for await (const part of request) parts.push(part);
    const asked = { path: request.url.split("?")[0], query: request.url.split("?")[1] ?? "", headers: request.headers, text: Buffer.concat(parts).toString() };
    if (asked.path === "/token") return void token(asked, response);
    const found = find(known, asked);
    if (found.fault !== undefined) {
      faults.push(`${request.method} ${request.url}: ${found.fault}`);
      response.writeHead(418, { "content-type": "application/json" }).end(JSON.stringify({ error: { message: found.fault } }));
      return;
    }
    await serve(found, asked, response);
  });
  // Longer than the gateway keeps a connection: who closes first may meet the other's next request.
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    faults,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

// Google's exchange of a signed assertion for an access token.
function token({ text }, response) {
  const form = new URLSearchParams(text);
  const right = form.get("grant_type") === "urn:ietf:params:oauth:grant-type:jwt-bearer" && form.get("assertion")?.split(".").length === 3;
  const answer = right ? { access_token: `${CREDENTIAL}-token`, expires_in: 3599, token_type: "Bearer" } : { error: "invalid_grant" };
  response.writeHead(right ? 200 : 400, { "content-type": "application/json" }).end(JSON.stringify(answer));
}

function find(known, { path, query, headers, text }) {
  const [, name, chunking] = MARKER.exec(text) ?? [];
  const exchange = known.get(name);
  if (exchange === undefined) return { fault: `no exchange ${name}` };
  const place = PLACES.find(([form]) => form.test(path));
  if (place === undefined) return { fault: "no such path" };
  const [, dialect, credential, streams] = place;
  if (dialect !== exchange.dialect) return { fault: `${name} is ${exchange.dialect}` };
  if (!credential(headers)) return { fault: `no credential of ours among ${Object.keys(headers)}` };
  const stream = streams?.({ path, body: JSON.parse(text) }) ?? false;
  if (stream !== (exchange.stream && streams !== null)) return { fault: `${name} was ${exchange.stream ? "a" : "no"} stream` };
  if (dialect === "gemini.generateContent" && stream && !query.split("&").includes("alt=sse")) return { fault: "a stream without alt=sse" };
  return { exchange, chunking };
}

async function serve({ exchange, chunking }, { query }, response) {
  const { status, headers, bytes } = answerOf(exchange, { events: query.includes("alt=sse") });
  response.writeHead(status, headers);
  if (exchange.framing === null) return void response.end(bytes);
  response.flushHeaders();
  for (const piece of chunked(bytes, exchange.framing, chunking)) {
    if (response.destroyed) return;
    response.write(piece);
    // On its own way before the next one comes.
    await new Promise(setImmediate);
  }
  response.end();
}
