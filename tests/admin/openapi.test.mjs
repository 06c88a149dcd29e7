// schema/openapi.yaml is true: valid in itself, no route missing or invented, and every answer that this
// and the other suites recorded has the shape it promises.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import addFormats from "ajv-formats";
import Ajv2020 from "ajv/dist/2020.js";
import { parse } from "yaml";
import { ask, completion, wholeStream } from "../support/chat.mjs";
import { root, scratch } from "../support/common.mjs";
import { answers, streams } from "../support/fake-provider.mjs";
import { startWorkerd } from "../support/gateway.mjs";

// On its own this file has its own traffic to check.
process.env.SLUICE_RECORDINGS ??= scratch();
const { startWorld } = await import("../support/world.mjs");

const description = parse(readFileSync(join(root, "schema", "openapi.yaml"), "utf8"));
const METHODS = ["get", "post", "put", "patch", "delete"];
const operations = Object.entries(description.paths).flatMap(([path, item]) =>
  METHODS.filter((method) => item[method] !== undefined).map((method) => ({
    method, path, ...item[method], bases: item.servers?.map(({ url }) => (url === "/" ? "" : url)) ?? ["/v1", "/api/v1"],
    // A model's name has a slash of its own.
    pattern: new RegExp(`^${path.replace("{model}", ".+").replace(/\{\w+\}/g, "[^/]+")}$`),
  })));
const example = (path) => path.replace("{hash}", "0".repeat(64)).replace(/\{\w+\}/g, "nothing");

// The word for an error, in whichever format's envelope it is.
const codeOf = ({ error }) => error.details?.[0].metadata.code ?? error.code;

const STRIPE_WEBHOOK_SECRET = "whsec_of_the_tests";

let world;
before(async () => { world = await startWorld(startWorkerd, { vars: { STRIPE_WEBHOOK_SECRET } }); });
after(() => world.stop());

test("it is valid OpenAPI", async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(description));
  assert.ok(valid, JSON.stringify(errors, null, 2));
});

test("it is what the gateway serves", async () => {
  for (const path of ["/openapi.json", "/v1/openapi.json"]) assert.deepEqual((await world.request("GET", path)).body, description);
});

for (const { method, path, bases, security } of operations) {
  test(`there is ${method.toUpperCase()} ${path}`, async () => {
    for (const base of bases) {
      const answer = await world.request(method.toUpperCase(), base + example(path), method === "get" || method === "delete" ? {} : { body: {} });
      if (path === "/webhooks/stripe" && method === "post") assert.equal(answer.body.error.code, "invalid_signature", answer.text);
      else if (security?.length === 0) assert.equal(answer.status, 200, answer.text);
      else assert.deepEqual([answer.status, codeOf(answer.body)], [401, "missing_api_key"], answer.text);
    }
  });
}

for (const path of Object.keys(description.paths)) {
  test(`at ${path} there is nothing else`, async () => {
    const here = operations.filter((operation) => operation.path === path);
    const known = here.map(({ method }) => method.toUpperCase()).sort();
    for (const method of METHODS.map((name) => name.toUpperCase()).filter((name) => !known.includes(name))) {
      const answer = await world.request(method, here[0].bases[0] + example(path), { key: world.gateway.keys.management, ...(method !== "GET" && method !== "DELETE" ? { body: {} } : {}) });
      assert.equal(answer.status, 405, `${method}: ${answer.text}`);
      assert.deepEqual(answer.headers.get("allow").split(", ").sort(), known);
    }
  });
}

test("every operation does what it is for", async () => {
  const fine = async (method, path, body, key) => {
    const answer = await world.request(method, `/v1${path}`, { body, key: key ?? world.gateway.keys.management });
    assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  };
  const { inference } = world.gateway.keys;
  const model = await world.model([answers(completion())]);
  const { id } = await fine("POST", "/chat/completions", ask(model), inference);
  await world.stream(ask(await world.model([streams(wholeStream())])));
  await world.row(id);
  await fine("POST", "/route", ask(model), inference);
  await everyFormat(inference);
  for (const path of ["/models", "/models?all=true&limit=20", "/models/count", "/providers", `/models/${model}/endpoints`, `/model/${model}`, "/key", `/generation?id=${id}`]) await fine("GET", path, undefined, inference);

  const { data: { hash } } = await fine("POST", "/keys", { name: "k", limit: 1.5, limit_reset: "monthly", allowed_models: ["test/*"], metadata: { a: 1 }, expires_at: "2099-01-01T00:00:00Z" });
  await fine("GET", "/keys");
  await fine("GET", `/keys/${hash}`);
  await fine("PATCH", `/keys/${hash}`, { disabled: true, limit: null });
  const { data: { hash: next } } = await fine("POST", `/keys/${hash}/rotate`, { grace_seconds: 60 });
  await fine("DELETE", `/keys/${hash}`);
  await fine("DELETE", `/keys/${next}`);

  const { data: { id: workspace } } = await fine("POST", "/workspaces", { name: "w", slug: "w" });
  await fine("GET", "/workspaces");
  await fine("GET", `/workspaces/${workspace}`);
  await fine("PATCH", "/workspaces/w", { description: "d" });
  await fine("PUT", "/workspaces/w/budgets/weekly", { limit_usd: 1, hard: false, alerts: [0.5] });
  await fine("GET", "/workspaces/w/budgets");
  await fine("GET", "/workspaces/w/budgets/weekly");
  await fine("DELETE", "/workspaces/w/budgets/weekly");
  await fine("DELETE", "/workspaces/w");
  const account = { kind: "session", id: "s" };
  const { data: { id: budget } } = await fine("POST", "/budgets", { account, limit_tokens: 5, interval: "monthly", increase: { limit_tokens: 1, until: "2099-01-01T00:00:00Z" } });
  await fine("PUT", "/budgets", { account, limit_requests: 5, per: "minute", model: "a/b" });
  await fine("GET", "/budgets");
  await fine("GET", `/budgets/${budget}`);
  await fine("PATCH", `/budgets/${budget}`, { limit_tokens: 6, hard: false });
  await fine("POST", `/budgets/${budget}/forgive`);
  for (const path of ["/sessions/s", "/users/u"]) {
    await fine("POST", `${path}/stop`);
    await fine("GET", path);
    await fine("POST", `${path}/resume`);
  }
  await fine("DELETE", `/budgets/${budget}`);

  await fine("PATCH", "/organization", { name: "Tests", margin_percent: 0, low_balance_usd: 1 });
  await fine("POST", "/credits", { amount: 5, reason: "a test" });
  await fine("POST", "/credits", { amount: -4.5, reason: "a test" });
  const body = JSON.stringify({ id: "evt_1", type: "payment_intent.succeeded", data: { object: { id: "pi_1", amount_received: 500, currency: "usd" } } });
  const t = Math.floor(Date.now() / 1000);
  const v1 = createHmac("sha256", STRIPE_WEBHOOK_SECRET).update(`${t}.${body}`).digest("hex");
  assert.equal((await world.request("POST", "/v1/webhooks/stripe", { body, headers: { "stripe-signature": `t=${t},v1=${v1}` } })).status, 200);
  const { data: [{ month }] } = await fine("GET", "/statements");
  for (const path of ["/organization", "/credits", "/ledger", "/ledger/check", `/statements/${month}`, `/statements/${month}?format=csv`, "/alerts", "/webhooks/stripe"]) await fine("GET", path);

  await world.provider("extra");
  const endpoints = [{ provider: "extra", upstream_model: "x", pricing: { prompt: "0.1", completion: "0.2" } }];
  await fine("PUT", "/admin/models/extra/model", { name: "Extra", context_length: 10, architecture: {}, endpoints });
  for (const path of ["/admin/providers", "/admin/providers/extra", "/admin/models", "/admin/models/extra/model", "/admin/models/extra/model/prices", "/activity", "/generations", "/admin/dead-letters"]) await fine("GET", path);
  const exported = await fine("GET", "/admin/catalog/export");
  await fine("DELETE", "/admin/models/extra/model");
  await fine("DELETE", "/admin/providers/extra");
  await fine("POST", "/admin/catalog/import", exported);
});

// Each route of inference, over providers of OpenAI's formats.
async function everyFormat(key) {
  const fine = async (path, model, body, headers = {}) => {
    const answer = await world.request("POST", path, { body: body instanceof Uint8Array ? body : { model, ...body }, key, headers });
    assert.equal(answer.status, 200, `${path}: ${answer.text}`);
    return answer;
  };
  const chat = (...pieces) => world.model(pieces.length === 0 ? [answers(completion())] : [streams(pieces)]);
  const words = await chat(), stream = await chat(...wholeStream());
  const messages = [{ role: "user", content: "Hello" }], contents = [{ role: "user", parts: [{ text: "Hello" }] }];
  for (const [path, body] of [["/v1/completions", { prompt: "Hello" }], ["/v1/responses", { input: "Hello" }], ["/v1/messages", { max_tokens: 50, messages }]]) {
    await fine(path, words, body);
    assert.match((await fine(path, stream, { ...body, stream: true })).headers.get("content-type"), /^text\/event-stream/);
  }
  const { headers } = await fine("/v1/messages", words, { max_tokens: 50, messages, top_k: 3 });
  assert.equal(headers.get("x-sluice-losses"), "top_k");
  assert.equal(headers.get("request-id"), headers.get("x-generation-id"));
  await fine("/v1/messages/count_tokens", words, { messages });
  await fine(`/v1beta/models/${words}:generateContent`, undefined, { contents });
  await fine(`/v1beta/models/${stream}:streamGenerateContent?alt=sse`, undefined, { contents });
  assert.ok(Array.isArray((await fine(`/v1beta/models/${stream}:streamGenerateContent`, undefined, { contents })).body));
  await fine(`/v1beta/models/${words}:countTokens`, undefined, { contents });

  const vectors = (count) => answers({ object: "list", model: "e", data: Array.from({ length: count }, (_, index) => ({ object: "embedding", index, embedding: [0.5, -0.25] })), usage: { prompt_tokens: 3, total_tokens: 3 } });
  const one = await world.model([vectors(1)]), two = await world.model([vectors(2)]);
  await fine("/v1/embeddings", two, { input: ["a", "b"] });
  const content = { parts: [{ text: "a" }] };
  await fine(`/v1beta/models/${one}:embedContent`, undefined, { content });
  await fine(`/v1beta/models/${two}:batchEmbedContents`, undefined, { requests: [{ model: `models/${two}`, content }, { model: `models/${two}`, content }] });
  await fine("/v1/rerank", await world.model([answers({ results: [{ index: 1, relevance_score: 0.9 }, { index: 0, relevance_score: 0.1 }], usage: { total_tokens: 5 } })]), { query: "q", documents: ["a", "b"] });
  await fine("/v1/moderations", await world.model([answers({ id: "modr-1", model: "m", results: [{ flagged: false }] })]), { input: "a" });
  await fine("/v1/images/generations", await world.model([answers({ created: 1_700_000_000, data: [{ b64_json: "aGk=" }] })]), { prompt: "a" });
  await fine("/v1/audio/speech", await world.model([answers(Buffer.from("sound"), { headers: { "content-type": "audio/mpeg" } })]), { input: "a", voice: "v" });
  const heard = await world.model([answers({ text: "a", usage: { type: "duration", seconds: 2 } })]);
  const form = new FormData();
  form.append("model", heard);
  form.append("file", new Blob([Buffer.from("sound")], { type: "audio/wav" }), "a.wav");
  const packed = new Response(form);
  await fine("/v1/audio/transcriptions", heard, new Uint8Array(await packed.arrayBuffer()), { "content-type": packed.headers.get("content-type") });
}

test("what is not there is told in the format of those who call it", async () => {
  for (const [path, codes] of [
    ["/v1beta/models/test/x:predict", ["NOT_FOUND", "not_found"]], ["/v1/models/test/x:countAll", ["NOT_FOUND", "not_found"]], ["/v1beta/test/x:predict", ["NOT_FOUND", "not_found"]],
    ["/v1/messages/batches", [undefined, "not_found"]], ["/v1/embeddings/", [undefined, "not_found"]],
  ]) {
    const { status, body } = await world.request("POST", path, { body: {}, key: world.gateway.keys.inference });
    assert.deepEqual([status, body.error.status, codeOf(body)], [404, ...codes], path);
  }
  const wrong = await world.request("GET", "/v1/messages", { key: world.gateway.keys.inference });
  assert.deepEqual([wrong.status, wrong.body.type, wrong.body.error.type], [405, "error", "invalid_request_error"]);
});

test("what was recorded has the shape that is described", () => {
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }));
  ajv.addSchema(description, "api");
  const validators = new Map();
  const validator = (pointer) => {
    if (!validators.has(pointer)) validators.set(pointer, ajv.compile({ $ref: `api#${pointer}` }));
    return validators.get(pointer);
  };
  const escape = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");
  const schemaOf = ({ method, path, responses }, status, type) => {
    const response = responses[status];
    if (response === undefined) return null;
    const place = response.$ref?.slice(1) ?? `/paths/${escape(path)}/${method}/responses/${status}`;
    const content = place.split("/").slice(1).reduce((at, name) => at[name.replaceAll("~1", "/").replaceAll("~0", "~")], description).content ?? {};
    const known = content[type] === undefined ? type.replace(/\/.*/, "/*") : type;
    return content[known] === undefined ? null : `${place}/content/${escape(known)}/schema`;
  };
  // Whose errors an address gives that has no operation, or another method.
  const errorOf = (method, path) => {
    if (/\/v1(beta|alpha)\/.+:\w*$/.test(path) || (method === "POST" && /\/models\/.+:\w*$/.test(path))) return "GoogleError";
    return /^(\/api)?\/v1\/messages(\/count_tokens)?$/.test(path) ? "AnthropicError" : "Error";
  };

  const problems = new Set();
  const succeeded = new Set();
  let checked = 0;
  for (const { method, path, status, type, text } of recordings()) {
    // Gemini's clients may leave `models/` out.
    const below = path.replace(/^(\/api)?\/v1(?:beta|alpha)(\/models)?(?=\/.+:\w+$)/, "/models").replace(/^(\/api)?\/v1(?=\/|$)/, "");
    const operation = operations.find((one) => one.method === method.toLowerCase() && one.pattern.test(below));
    const what = `${method} ${operation?.path ?? "(no route)"} ${status} ${type}`;
    const media = type.split(";")[0];
    const pointer = operation === undefined ? (status >= 400 ? `/components/schemas/${errorOf(method, path)}` : null) : schemaOf(operation, status, media);
    if (pointer === null) {
      problems.add(`${what} is not described`);
      continue;
    }
    const validate = validator(pointer);
    const body = media === "application/json" ? JSON.parse(text) : text;
    if (!validate(body)) for (const { instancePath, message } of validate.errors) problems.add(`${what}: ${instancePath} ${message}`);
    if (operation !== undefined && status < 300) succeeded.add(`${operation.method} ${operation.path}`);
    checked++;
  }
  assert.deepEqual([...problems].sort(), []);
  assert.ok(checked > 100, `${checked} answers`);
  // Dead letters cannot be made through the API.
  const never = operations.map(({ method, path }) => `${method} ${path}`).filter((name) => !succeeded.has(name) && !name.includes("/admin/dead-letters/"));
  assert.deepEqual(never, [], "operations of which no success was seen");
});

function recordings() {
  const folder = process.env.SLUICE_RECORDINGS;
  return readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line)));
}
