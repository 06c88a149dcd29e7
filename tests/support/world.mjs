// A gateway with the fake provider behind it, and what tests do with the two.
//
//   const world = await startWorld(startWorkerd);
//   const model = await world.model([fails(500), answers(completion())]);
//   const { status, body } = await world.chat(ask(model));
//
// Each model gets endpoints at the providers fake-1, fake-2, ... in that order: the first serves, the
// others stand in for it. All are the same server, which tells them by the upstream model's name.
import assert from "node:assert/strict";
import { parsed, readEvents } from "./chat.mjs";
import { CREDENTIAL, eventually } from "./common.mjs";
import { startFakeProvider } from "./fake-provider.mjs";
import { record } from "./record.mjs";

const PROVIDERS = 4;
// Short, so that tests of time limits are; long enough for a busy machine.
export const TIMEOUTS_MS = { first_token: 1500, idle: 20_000, total: 60_000 };
// USD a token at fake-1; fake-2 takes twice as much, and so on.
export const PRICE = { prompt: 0.000001, completion: 0.000002 };

export const decimal = (number) => number.toFixed(12).replace(/0+$/, "").replace(/\.$/, "");

export async function startWorld(start, options) {
  const [gateway, fake] = await Promise.all([start(options), startFakeProvider()]);
  const world = new World(gateway, fake);
  await world.registerProviders();
  return world;
}

export class World {
  #models = 0;

  constructor(gateway, fake) {
    this.gateway = gateway;
    this.fake = fake;
  }

  get base() {
    return `${this.gateway.url}/v1`;
  }

  async registerProviders() {
    for (let n = 1; n <= PROVIDERS; n++) await this.provider(`fake-${n}`);
    await this.provider("fake-dead", { base_url: this.fake.deadUrl });
  }

  async provider(slug, more = {}) {
    const answer = await this.admin("PUT", `/admin/providers/${slug}`, {
      name: `Fake ${slug}`, dialect: "openai", base_url: this.fake.url, credential: { type: "bearer", value: `${CREDENTIAL}-${slug}` },
      allow_private_network: true, timeouts_ms: TIMEOUTS_MS, ...more,
    });
    assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
    return slug;
  }

  // A model served by these behaviours in turn; "dead" is a provider that cannot be reached.
  async model(behaviours, { name = `m${++this.#models}`, providers, ...more } = {}) {
    const id = `test/${name}`;
    const endpoints = [].concat(behaviours).map((behaviour, index) => {
      const upstream_model = `${name}-${index + 1}`;
      const provider = behaviour === "dead" ? "fake-dead" : (providers?.[index] ?? `fake-${index + 1}`);
      if (behaviour !== "dead") this.fake.when(upstream_model, behaviour);
      return {
        provider, upstream_model,
        tag: `${provider}/${index + 1}`,
        pricing: { prompt: decimal(PRICE.prompt * (index + 1)), completion: decimal(PRICE.completion * (index + 1)) },
        context_length: 100_000, max_completion_tokens: 200_000, supported_parameters: [],
        weight: index === 0 ? 1 : 0,
      };
    });
    const answer = await this.admin("PUT", `/admin/models/${id}`, { name, context_length: 100_000, architecture: {}, endpoints, ...more });
    assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
    return id;
  }

  // What the provider was sent for that model's endpoint (1 is the first).
  received(model, endpoint = 1) {
    return this.fake.received(`${model.replace("test/", "")}-${endpoint}`);
  }

  // Any request to the gateway; a string or bytes as `body` go as they are.
  async request(method, path, { body, headers = {}, key } = {}) {
    const url = path.startsWith("http") ? path : `${this.gateway.url}${path}`;
    const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
    const response = await fetch(url, {
      method,
      headers: { ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: raw ? body : JSON.stringify(body),
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
    });
    const text = await response.text();
    record(method, url, response, text);
    return { status: response.status, headers: response.headers, text, body: parsed(text) };
  }

  admin(method, path, body) {
    return this.request(method, `/v1${path}`, { body, key: this.gateway.keys.management });
  }

  chat(body, { key = this.gateway.keys.inference, headers } = {}) {
    return this.request("POST", "/v1/chat/completions", { body, key, headers });
  }

  // A stream, read to its end: also {chunks, comments, done}.
  async stream(body, options) {
    const answer = await this.chat({ ...body, stream: true }, options);
    return { ...answer, ...(answer.headers.get("content-type")?.startsWith("text/event-stream") ? readEvents(answer.text) : {}) };
  }

  // A stream to be read, or left, by the test: the fetch response and what ends it.
  async open(body, { headers = {} } = {}) {
    const leave = new AbortController();
    const response = await fetch(`${this.base}/chat/completions`, {
      method: "POST", signal: leave.signal, body: JSON.stringify({ ...body, stream: true }),
      headers: { authorization: `Bearer ${this.gateway.keys.inference}`, "content-type": "application/json", ...headers },
    });
    return { response, id: response.headers.get("x-generation-id"), leave: () => leave.abort() };
  }

  // A generation's record, as soon as it has been aggregated.
  generation(id, { seconds = 10, until = () => true, key = this.gateway.keys.inference } = {}) {
    return eventually(`the record of ${id}`, async () => {
      const { status, body } = await this.request("GET", `/v1/generation?id=${id}`, { key });
      assert.ok(status === 200 || status === 404, `${status} ${JSON.stringify(body)}`);
      return status === 200 && until(body.data) ? body.data : undefined;
    }, seconds);
  }

  // A generation's row in the database, as soon as it is there.
  row(id, seconds = 15) {
    assert.match(id ?? "", /^gen-\d+-\w+$/);
    return eventually(`the row of ${id}`, async () => {
      const rows = await this.gateway.rows(`SELECT * FROM generations WHERE id = '${id}'`);
      assert.ok(rows.length <= 1);
      return rows[0] && { ...rows[0], attempts: JSON.parse(rows[0].attempts) };
    }, seconds);
  }

  // The generations in the database, oldest first, as soon as there are `count`.
  rows(count, seconds = 15) {
    return eventually(`${count} rows of generations`, async () => {
      const rows = await this.gateway.rows("SELECT * FROM generations ORDER BY created_at, id");
      return rows.length >= count ? rows : undefined;
    }, seconds);
  }

  async stop() {
    await this.fake.stop();
    await this.gateway.stop();
  }
}
