// Credits, ledger, statements, settings, Stripe's events, alerts and repeated writes, over the running
// gateway. On both runtimes: triggers, JSON and dates are SQLite's, as the platform has it.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/common.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { World } from "../support/world.mjs";

const STRIPE_SECRET = "whsec_of_the_tests";
const SECRET = "alerts-signed-by-the-tests";

const sign = (secret, body, t = Math.floor(Date.now() / 1000)) => `t=${t},v1=${createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")}`;
const event = (id, type, object) => JSON.stringify({ id, object: "event", type, data: { object } }, null, 2);
const checkout = (id, payment, cents, more) => event(id, "checkout.session.completed", { id: `cs_${payment}`, payment_intent: payment, payment_status: "paid", amount_total: cents, currency: "usd", ...more });
const refund = (id, payment, cents) => event(id, "charge.refunded", { id: `ch_${payment}`, payment_intent: payment, amount_refunded: cents, currency: "usd" });

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, () => {
    let gateway;
    let world;
    before(async () => {
      gateway = await start({ vars: { STRIPE_WEBHOOK_SECRET: STRIPE_SECRET } });
      world = new World(gateway);
    });
    after(() => gateway.stop());

    const ask = async (method, path, body, headers) => {
      const answer = await world.request(method, `/v1${path}`, { body, headers, key: gateway.keys.management });
      return answer;
    };
    const data = async (path) => {
      const { status, body, text } = await ask("GET", path);
      assert.equal(status, 200, text);
      return body.data;
    };
    const stripe = (body, signature = sign(STRIPE_SECRET, body)) =>
      world.request("POST", "/v1/webhooks/stripe", { body, headers: signature === null ? {} : { "stripe-signature": signature } });
    const balanced = async () => assert.equal((await data("/ledger/check")).balanced, true);

    test("credits, refunds and adjustments move the ledger, which balances", async () => {
      const before = await data("/credits");
      const made = await ask("POST", "/credits", { amount: 12.345678901, reason: "invoice 1" });
      assert.equal(made.status, 201, made.text);
      assert.deepEqual([made.body.data.type, made.body.data.amount], ["credit", 12.345678901]);
      await ask("POST", "/credits", { amount: -2, reason: "back", type: "refund" });
      await ask("POST", "/credits", { amount: -0.345678901, reason: "typo" });
      const after = await data("/credits");
      assert.equal(Math.round((after.balance - before.balance) * 1e9), 10e9);
      const { body } = await ask("GET", "/ledger?limit=6");
      assert.deepEqual(body.data.map(({ type, account, amount_nano }) => [type, account, amount_nano]), [
        ["adjust", "org:default", -345678901], ["adjust", "adjustments", 345678901],
        ["refund", "org:default", -2e9], ["refund", "refunds", 2e9],
        ["credit", "org:default", 12345678901], ["credit", "grants", -12345678901],
      ]);
      await balanced();
    });

    test("wrong amounts are refused by name", async () => {
      for (const body of [{ amount: 0, reason: "r" }, { amount: 9e6, reason: "r" }, { amount: "1", reason: "r" }, { reason: "r" }]) {
        const answer = await ask("POST", "/credits", body);
        assert.deepEqual([answer.status, answer.body.error.param], [400, "amount"], answer.text);
      }
    });

    test("an inference key sees and moves no money", async () => {
      for (const [method, path] of [["GET", "/credits"], ["POST", "/credits"], ["GET", "/ledger"], ["GET", "/statements"], ["PATCH", "/organization"], ["GET", "/alerts"]]) {
        const answer = await world.request(method, `/v1${path}`, { key: gateway.keys.inference, ...(method === "GET" ? {} : { body: { amount: 1, reason: "r" } }) });
        assert.equal(answer.status, 403, `${method} ${path}`);
      }
    });

    test("a write with the same Idempotency-Key is done once and answered the same", async () => {
      const key = { "idempotency-key": `credit-${Date.now()}` };
      const { total_credits } = await data("/credits");
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask("POST", "/credits", { amount: 1.5, reason: "once" }, key)));
      assert.deepEqual([...new Set(answers.map(({ text, status }) => `${status} ${text}`))].length, 1, answers.map(({ text }) => text).join("\n"));
      assert.equal(answers.filter(({ headers }) => headers.get("idempotency-replayed") === "true").length, 7);
      assert.equal(Math.round(((await data("/credits")).total_credits - total_credits) * 1e9), 1.5e9);
      const other = await ask("POST", "/credits", { amount: 2, reason: "once" }, key);
      assert.deepEqual([other.status, other.body.error.code], [409, "idempotency_key_reused"]);
      const long = await ask("POST", "/credits", { amount: 2, reason: "once" }, { "idempotency-key": "x".repeat(256) });
      assert.deepEqual([long.status, long.body.error.param], [400, "Idempotency-Key"]);
    });

    test("a key that is made twice by one Idempotency-Key is one key, shown twice", async () => {
      const make = () => ask("POST", "/keys", { name: "once" }, { "idempotency-key": "the key" });
      const [first, again] = [await make(), await make()];
      assert.equal(first.status, 201);
      assert.deepEqual([again.status, again.text, again.headers.get("idempotency-replayed")], [201, first.text, "true"]);
      assert.equal((await ask("GET", "/keys")).body.data.filter(({ name }) => name === "once").length, 1);
    });

    test("Stripe tops up by its signature, each payment once, and takes back what it refunds", async () => {
      const { balance } = await data("/credits");
      const gained = async () => Math.round(((await data("/credits")).balance - balance) * 100);
      const paid = checkout("evt_1", "pi_1", 2500);
      for (let n = 0; n < 3; n++) {
        const answer = await stripe(paid);
        assert.deepEqual([answer.status, answer.body.outcome, answer.body.duplicate], [200, "credited", n > 0], answer.text);
      }
      const twin = await stripe(event("evt_2", "payment_intent.succeeded", { id: "pi_1", amount_received: 2500, currency: "usd" }));
      assert.equal(twin.body.outcome, "counted_before");
      assert.equal(await gained(), 2500);
      assert.equal((await stripe(refund("evt_3", "pi_1", 500))).body.outcome, "refunded");
      assert.equal((await stripe(refund("evt_4", "pi_1", 400))).body.outcome, "counted_before");
      assert.equal((await stripe(refund("evt_5", "pi_2", 300))).body.outcome, "refund_waits");
      assert.equal((await stripe(checkout("evt_6", "pi_2", 1000))).body.outcome, "credited");
      assert.equal(await gained(), 2500 - 500 + 1000 - 300);
      const euros = await stripe(checkout("evt_7", "pi_3", 1000, { currency: "eur" }));
      assert.deepEqual([euros.status, euros.body.error.code], [400, "unsupported_currency"]);
      const listed = await data("/webhooks/stripe");
      assert.deepEqual(listed.map(({ id, outcome }) => `${id} ${outcome}`), [
        "evt_7 unsupported_currency", "evt_6 credited", "evt_5 refund_waits", "evt_4 counted_before", "evt_3 refunded", "evt_2 counted_before", "evt_1 credited",
      ]);
      await balanced();
    });

    test("what Stripe has not signed just now is refused and changes nothing", async () => {
      const { balance } = await data("/credits");
      const body = checkout("evt_forged", "pi_forged", 2500);
      const now = Math.floor(Date.now() / 1000);
      for (const signature of [null, "", "t=1,v1=00", sign("whsec_other", body), sign(STRIPE_SECRET, body, now - 301), sign(STRIPE_SECRET, body, now + 301), sign(STRIPE_SECRET, JSON.stringify(JSON.parse(body)))]) {
        const answer = await stripe(body, signature);
        assert.deepEqual([answer.status, answer.body.error.code], [400, "invalid_signature"], String(signature));
      }
      assert.equal((await data("/credits")).balance, balance);
      const rolled = `${sign("whsec_older", body)},${sign(STRIPE_SECRET, body, now).split(",")[1]}`.replace(/^t=\d+/, `t=${now}`);
      assert.equal((await stripe(body, rolled)).status, 200);
    });

    test("a month's statement closes where its movements lead, as JSON and as CSV", async () => {
      const [{ month, final }] = await data("/statements");
      assert.deepEqual([month, final], [new Date().toISOString().slice(0, 7), false]);
      const statement = await data(`/statements/${month}`);
      const nano = (usd) => Math.round(usd * 1e9);
      const { opening_balance, credits, refunds, adjustments, usage, unsettled, closing_balance } = statement;
      assert.equal(nano(closing_balance), nano(opening_balance) + nano(credits) + nano(refunds) + nano(adjustments) - nano(usage) - nano(unsettled));
      assert.equal(nano(closing_balance), nano((await data("/credits")).balance));
      assert.ok(credits > 0 && refunds < 0 && adjustments < 0);
      const [byQuery, byHeader] = [await ask("GET", `/statements/${month}?format=csv`), await ask("GET", `/statements/${month}`, undefined, { accept: "text/csv" })];
      assert.equal(byQuery.headers.get("content-type"), "text/csv; charset=utf-8");
      assert.equal(byQuery.text, byHeader.text);
      const rows = byQuery.text.trimEnd().split("\r\n").map((line) => line.split(","));
      assert.equal(nano(Number(rows.find(([line]) => line === "closing_balance").at(-1))), nano(closing_balance));
      for (const [path, status] of [["2020-01", 404], ["nothing", 400], [`${month}?format=pdf`, 400]]) assert.equal((await ask("GET", `/statements/${path}`)).status, status);
    });

    test("alerts are signed, sent again until they are taken, and listed", async () => {
      const hook = await startHook([500, 200]);
      try {
        const settings = { low_balance_usd: 5, alert_webhook: { url: `${hook.url}/hook`, secret: SECRET, allow_private_network: true } };
        const changed = await ask("PATCH", "/organization", settings);
        assert.equal(changed.status, 200, changed.text);
        assert.deepEqual(changed.body.data.alert_webhook, { url: `${hook.url}/hook`, allow_private_network: true, secret: { configured: true } });
        const { balance } = await data("/credits");
        await ask("POST", "/credits", { amount: 1 - balance, reason: "down to a dollar", type: "adjustment" });
        const [first, second] = await eventually("two deliveries", () => hook.received.length >= 2 && hook.received, 30);
        for (const { headers, body } of [first, second]) {
          const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers["sluice-signature"]);
          assert.equal(v1, createHmac("sha256", SECRET).update(`${t}.${body}`).digest("hex"));
          assert.equal(headers["sluice-event-id"], JSON.parse(body).id);
        }
        assert.equal(first.body, second.body);
        const told = JSON.parse(second.body);
        assert.deepEqual([told.type, told.organization_id, told.data], ["balance.low", "default", { balance: 1, low_balance_usd: 5 }]);
        const delivered = await eventually("it is listed as delivered", async () => (await data("/alerts?state=delivered"))[0], 10);
        assert.deepEqual([delivered.id, delivered.attempts, delivered.last_error], [told.id, 2, null]);
        await ask("PATCH", "/organization", { low_balance_usd: null, alert_webhook: null });
      } finally {
        await hook.stop();
      }
    });

    if (start === startWorkerd) {
      test("a private address is reached only where the settings say so", async () => {
        const hook = await startHook([200]);
        try {
          const url = hook.url.replace("http:", "https:");
          assert.equal((await ask("PATCH", "/organization", { alert_webhook: { url: hook.url, secret: SECRET } })).body.error.param, "alert_webhook.url");
          assert.equal((await ask("PATCH", "/organization", { alert_webhook: { url, secret: SECRET }, low_balance_usd: 5 })).status, 200);
          await ask("POST", "/credits", { amount: 100, reason: "up" });
          await ask("POST", "/credits", { amount: -100, reason: "down" });
          const failed = await eventually("a failed attempt", async () => (await data("/alerts?state=pending")).find(({ attempts }) => attempts > 0), 30);
          assert.match(failed.last_error, /cannot be reached/);
          assert.equal(hook.connections(), 0);
          await ask("PATCH", "/organization", { low_balance_usd: null, alert_webhook: null });
        } finally {
          await hook.stop();
        }
      });

      test("what was booked is there after kill -9", async () => {
        const { balance } = await data("/credits");
        await ask("POST", "/credits", { amount: 3, reason: "kept" }, { "idempotency-key": "kept" });
        await gateway.killWorker();
        const again = await ask("POST", "/credits", { amount: 3, reason: "kept" }, { "idempotency-key": "kept" });
        assert.equal(again.headers.get("idempotency-replayed"), "true");
        assert.equal(Math.round(((await data("/credits")).balance - balance) * 1e9), 3e9);
        await balanced();
      });
    }
  });
}

test("without a secret no payment is taken, and the answer says why", async () => {
  const gateway = await startMiniflare();
  try {
    const body = checkout("evt_1", "pi_1", 100);
    const answer = await new World(gateway).request("POST", "/v1/webhooks/stripe", { body, headers: { "stripe-signature": sign("", body) } });
    assert.deepEqual([answer.status, answer.body.error.code], [503, "stripe_not_configured"]);
    assert.match(answer.body.error.message, /STRIPE_WEBHOOK_SECRET/);
  } finally {
    await gateway.stop();
  }
});

// A webhook that answers these statuses in turn, then the last one.
async function startHook(statuses) {
  const received = [];
  let connections = 0;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    received.push({ headers: request.headers, body });
    response.writeHead(statuses[Math.min(received.length, statuses.length) - 1]).end();
  });
  server.on("connection", () => { connections++; });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    received, url: `http://127.0.0.1:${server.address().port}`, connections: () => connections,
    stop: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
}
