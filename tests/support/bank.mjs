// A cluster before a provider that keeps its own bill, and clients that spend through it:
//
//   const bank = await openBank({ processes: 4 });
//   const model = await bank.model({ length: (n) => 20 + n });
//   const key = await bank.key({ limit: 1 });
//   const answers = await bank.spend(key, model);
//
// All money is whole nano-dollars.
import assert from "node:assert/strict";
import { startBillingProvider } from "./billing-provider.mjs";
import { readEvents } from "./chat.mjs";
import { startCluster } from "./cluster.mjs";
import { eventually, pause, PROMPT } from "./common.mjs";
import { record } from "./record.mjs";
import { World } from "./world.mjs";

export const nanoOf = (usd) => Math.round(usd * 1e9);
// They do not divide a budget.
export const PRICES = { prompt: "0.00000237", completion: "0.0000113" };
const MOST_TOKENS = 400;
const PATIENT = { first_token: 60_000, idle: 60_000, total: 120_000 };
const AT_ONCE = 200;

export async function openBank(options) {
  const [cluster, provider] = await Promise.all([startCluster(options), startBillingProvider()]);
  const bank = new Bank(cluster, provider);
  await bank.world.provider("bank", { timeouts_ms: PATIENT });
  return bank;
}

class Bank {
  #names = 0;

  constructor(cluster, provider) {
    Object.assign(this, { cluster, provider, nodes: cluster.nodes, world: new World(cluster, provider) });
  }

  // A model of that script; its upstream model has the same name.
  async model(script = {}) {
    const name = `bank-${++this.#names}`;
    this.provider.script(name, { prices: PRICES, ...script });
    await this.price(name, script.prices ?? PRICES);
    return name;
  }

  async price(name, pricing) {
    const endpoint = { provider: "bank", upstream_model: name, pricing, context_length: 100_000, max_completion_tokens: MOST_TOKENS, supported_parameters: ["max_tokens", "max_completion_tokens"] };
    await this.admin("PUT", `/admin/models/test/${name}`, { name, context_length: 100_000, architecture: {}, endpoints: [endpoint] });
  }

  async admin(method, path, body) {
    const answer = await this.world.admin(method, path, body);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  // {key, hash}
  async key(body) {
    const { key, data } = await this.admin("POST", "/keys", { name: `bank-${++this.#names}`, ...body });
    return { key, hash: data.hash };
  }

  // How the key's limit stands: {limit, spent, held, remaining, unsettled}.
  async standing({ hash }) {
    const { data } = await this.admin("GET", `/budgets?account=key:${hash}`);
    const row = data.find(({ name }) => name === "limit");
    return Object.fromEntries(["limit", "spent", "held", "remaining", "unsettled"].map((name) => [name, nanoOf(row[name])]));
  }

  // The same, once nothing of it is held but what was lost with dead processes.
  async settled(key, seconds = 15) {
    let standing;
    await eventually(`nothing is held of ${key.hash}`, async () => {
      standing = await this.standing(key);
      return standing.held === standing.unsettled;
    }, seconds).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(standing)}`);
    });
    return standing;
  }

  // What the key itself says that it has spent.
  async usage({ hash }) {
    return nanoOf((await this.admin("GET", `/keys/${hash}`)).data.usage);
  }

  // One call by way of a node, answered or broken: {status, id, nano, done, error, headers, text, at}.
  // `nano` is what the answer says that it costs; `done` that it came whole.
  async call({ key }, model, { node = this.nodes[0], signal, headers, ...body } = {}) {
    const url = `${node.url}/v1/chat/completions`;
    const answer = { at: Date.now(), status: 0, nano: 0, done: false };
    try {
      const response = await fetch(url, {
        method: "POST", signal, headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
        body: JSON.stringify({ model: `test/${model}`, messages: [{ role: "user", content: PROMPT }], ...body }),
      });
      Object.assign(answer, { status: response.status, headers: response.headers, id: response.headers.get("x-generation-id") });
      answer.text = await response.text();
      record("POST", url, response, answer.text);
    } catch (error) {
      return { ...answer, broken: error };
    }
    return { ...answer, ...(answer.headers.get("content-type").startsWith("text/event-stream") ? readStream(answer.text) : readWhole(answer.text)) };
  }

  // One call to each node, which then knows key, model and provider; then waves of calls over them, plain
  // and streamed, long and short, until one is refused as a whole. `during(wave)` runs beside each wave.
  // All answers, in the order in which they were asked for.
  async spend(key, model, { nodes = this.nodes, calls = AT_ONCE, seconds = 60, during } = {}) {
    const answers = await Promise.all(nodes.map((node) => this.call(key, model, { node })));
    for (const [end, wave] = [Date.now() + seconds * 1000, { n: 0 }]; ; wave.n++) {
      const beside = during?.(wave.n);
      const now = await Promise.all(Array.from({ length: calls }, (_, i) => this.call(key, model, { node: nodes[i % nodes.length], ...variety(wave.n * calls + i) })));
      await beside;
      answers.push(...now);
      if (now.every(({ status }) => status === 402)) return answers;
      const strange = now.find(({ status, broken }) => broken === undefined && ![200, 402, 503].includes(status));
      assert.equal(strange, undefined, `${strange?.status} ${strange?.text}`);
      assert.ok(Date.now() < end, `not used up in ${seconds} s: wave ${wave.n} was answered with ${JSON.stringify(tally(now))}, ${this.provider.bill(model)} spent`);
      // What was refused because it was held is free when the others have ended.
      await pause(100);
    }
  }

  // What the records say of a key, once there are `count` of them.
  records({ hash }, count, seconds = 20) {
    return eventually(`${count} records`, async () => {
      const rows = await this.cluster.rows(`SELECT id, upstream_id, cost_nano AS nano, estimated, outcome, price_version, completion_tokens FROM generations WHERE key_hash = '${hash}' AND cost_nano IS NOT NULL`);
      return rows.length >= count ? rows : undefined;
    }, seconds);
  }

  // Where the records and the provider's bill are not the same.
  differences(model, records) {
    const bills = new Map(this.provider.asked(model).map((exchange) => [exchange.id, exchange]));
    const wrong = records.filter(({ upstream_id, nano }) => bills.get(upstream_id)?.nano !== nano);
    return wrong.map((record) => {
      const { streamed, max, wanted, sent, closed, nano } = bills.get(record.upstream_id) ?? {};
      return { record, billed: { streamed, max, wanted, sent, closed, nano } };
    });
  }

  // The same by way of the API, page by page.
  async generations({ hash }) {
    const all = [];
    for (let cursor = ""; cursor !== null; ) {
      const page = await this.admin("GET", `/generations?limit=100&key_hash=${hash}${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
      all.push(...page.data);
      cursor = page.next_cursor ?? null;
    }
    return all;
  }

  stop() {
    return this.world.stop();
  }
}

// Requests of all sorts; deterministic.
function variety(n) {
  const content = `${PROMPT} ${"word ".repeat(20 + ((n * 37) % 200))}`;
  const limits = [{}, { max_tokens: 300 }, {}, { max_completion_tokens: 150 }][n % 4];
  return { messages: [{ role: "user", content }], ...limits, ...(n % 8 < 4 ? {} : { stream: true }) };
}

export const tally = (answers) => answers.reduce((all, { status }) => ({ ...all, [status]: (all[status] ?? 0) + 1 }), {});
export const sum = (list) => list.reduce((total, { nano }) => total + nano, 0);

function readWhole(text) {
  const { usage, error } = JSON.parse(text);
  return { done: error === undefined, error, nano: nanoOf(usage?.cost ?? 0), usage };
}

function readStream(text) {
  const { chunks, done } = readEvents(text);
  const usages = chunks.filter(({ usage }) => usage !== undefined && usage !== null);
  assert.ok(usages.length <= 1, "one usage a stream");
  const finish = chunks.map(({ choices }) => choices?.[0]?.finish_reason).findLast((reason) => reason);
  return { done, error: chunks.find(({ error }) => error)?.error, nano: nanoOf(usages[0]?.usage.cost ?? 0), usage: usages[0]?.usage, finish };
}

// A refusal for want of money says whose money, how much there was and when there will be more.
export function assertOutOfMoney({ status, error, text }, { kind, limit }) {
  assert.equal(status, 402, text);
  assert.equal(error.metadata.error_type, "payment_required");
  const { account, limit_usd, spent_usd, resets_at } = error.metadata;
  assert.equal(account.kind, kind, text);
  assert.ok(account.id.length > 0, text);
  assert.equal(nanoOf(limit_usd), limit, text);
  assert.ok(spent_usd >= 0 && resets_at !== undefined, text);
  assert.ok(error.message.length > 20, text);
}

export function assertTooFast({ status, error, headers, text }) {
  assert.equal(status, 429, text);
  assert.equal(error.metadata.error_type, "rate_limit_exceeded");
  assert.match(headers.get("retry-after") ?? "", /^[1-9]\d*$|^0$/, text);
}
