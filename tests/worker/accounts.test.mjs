// Workspaces, budgets, limits, rotation and the kill switch through the running gateway, on both
// runtimes, and with OpenRouter's own SDK where it has the call.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HTTPClient, OpenRouter } from "@openrouter/sdk";
import { ask, completion } from "../support/chat.mjs";
import { eventually } from "../support/common.mjs";
import { answers } from "../support/fake-provider.mjs";
import { startMiniflare, startWorkerd } from "../support/gateway.mjs";
import { recordingFetch } from "../support/record.mjs";
import { startWorld } from "../support/world.mjs";

const WITHIN_S = 10;

for (const start of [startWorkerd, startMiniflare]) {
  describe(`on ${start === startWorkerd ? "workerd" : "Miniflare"}`, { concurrency: 4 }, () => {
    let world;
    let model;
    before(async () => {
      world = await startWorld(start);
      model = await world.model(answers(completion()));
    });
    after(() => world.stop());

    const fine = async (method, path, body) => {
      const answer = await world.admin(method, path, body);
      assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
      return answer.body;
    };
    const refused = async (method, path, body) => {
      const { status, body: { error } } = await world.admin(method, path, body);
      return [status, error.param];
    };
    const pick = (row, ...names) => Object.fromEntries(names.map((name) => [name, row[name]]));
    const status = async (key) => (await world.chat(ask(model), { key })).status;

    test("a key's limits are shown as they were set, to it and to its manager", async () => {
      const rate_limit = { requests_per_minute: 60, tokens_per_minute: null, tokens_per_day: 1000, max_parallel: 4 };
      const { key, data } = await fine("POST", "/keys", { name: "k", limit: 5, limit_reset: "weekly", rate_limit, allow_unpriced: true, dedupe_window_s: 30 });
      const shown = { limit: 5, limit_remaining: 5, limit_reset: "weekly", allow_unpriced: true, dedupe_window_s: 30 };
      assert.deepEqual(pick(data, ...Object.keys(shown), "rate_limit", "account"), { ...shown, rate_limit, account: data.hash });
      assert.deepEqual((await fine("GET", `/keys/${data.hash}`)).data, data);
      const own = (await world.request("GET", "/v1/key", { key })).body.data;
      assert.deepEqual(pick(own, ...Object.keys(shown)), shown);
      assert.deepEqual([own.rate_limit.requests, own.rate_limit.interval, own.rate_limit.tokens_per_day], [60, "60s", 1000]);
      assert.deepEqual([own.budgets.length, own.effective_budget.scope, own.effective_budget.remaining_usd], [1, "key_limit", 5]);
      const changed = (await fine("PATCH", `/keys/${data.hash}`, { limit: null, rate_limit: null })).data;
      assert.deepEqual([changed.limit, changed.rate_limit], [null, null]);
    });

    test("a workspace, its keys and its budgets", async () => {
      const { data: { id, slug } } = await fine("POST", "/workspaces", { name: "Team Blue" });
      assert.equal(slug, "team-blue");
      const { key, data: { hash } } = await fine("POST", "/keys", { name: "k", workspace_id: id });
      assert.deepEqual(await refused("POST", "/keys", { name: "k", workspace_id: "none" }), [400, "workspace_id"]);
      assert.equal(await status(key), 200);
      const { data: budget } = await fine("PUT", `/workspaces/${slug}/budgets/daily`, { limit_usd: 2 });
      assert.deepEqual(pick(budget, "limit_usd", "hard", "alerts", "reset_interval", "workspace_id"), { limit_usd: 2, hard: true, alerts: [0.5, 0.8, 0.9], reset_interval: "daily", workspace_id: id });
      assert.deepEqual(await refused("PUT", `/workspaces/${id}/budgets/monthly`, { limit_usd: 2 }), [400, "limit_usd"]);
      const { effective_budget } = (await world.request("GET", "/v1/key", { key })).body.data;
      assert.deepEqual(pick(effective_budget, "scope", "limit_usd", "budget_id"), { scope: "workspace", limit_usd: 2, budget_id: budget.id });
      assert.deepEqual(await refused("DELETE", `/workspaces/${id}`), [409, "id"]);
      assert.equal((await fine("PATCH", `/keys/${hash}`, { workspace_id: "default" })).data.workspace_id, "default");
      await fine("DELETE", `/workspaces/${id}`);
      assert.equal((await world.admin("GET", `/budgets/${budget.id}`)).status, 404);
    });

    test("budgets of any account", async () => {
      const account = { kind: "user", id: "alice/ä:1" };
      const { data } = await fine("POST", "/budgets", { account, limit_usd: 1, interval: "12h", increase: { limit_usd: 0.5, until: "2099-01-01T00:00:00Z" } });
      assert.deepEqual(pick(data, "account", "limit", "limit_usd", "interval", "resets_at"), { account, limit: 1.5, limit_usd: 1, interval: "43200s", resets_at: null });
      assert.equal((await fine("PATCH", `/budgets/${data.id}`, { increase: null })).data.limit, 1);
      const { data: found, total_count } = await fine("GET", `/budgets?account=${encodeURIComponent("user:alice/ä:1")}`);
      assert.deepEqual([found.map(({ id }) => id), total_count], [[data.id], 1]);
      assert.deepEqual(await refused("POST", "/budgets", { account, limit_usd: 1, interval: "soon" }), [400, "interval"]);
      assert.equal((await fine("POST", `/budgets/${data.id}/forgive`)).forgiven, 0);
      await fine("DELETE", `/budgets/${data.id}`);
    });

    test("a rotated key goes on under a new secret, and ends with its grace", async () => {
      const old = await fine("POST", "/keys", { name: "k", limit: 5 });
      assert.equal(await status(old.key), 200);
      const usage = async (key) => (await world.request("GET", "/v1/key", { key })).body.data.usage;
      await eventually("its use", async () => (await usage(old.key)) === 0.000025);
      const made = await fine("POST", `/keys/${old.data.hash}/rotate`, { grace_seconds: 4 });
      assert.notEqual(made.key, old.key);
      assert.deepEqual(pick(made.data, "account", "name", "limit", "usage"), { account: old.data.hash, name: "k", limit: 5, usage: 0.000025 });
      assert.deepEqual([await status(old.key), await status(made.key)], [200, 200]);
      await eventually("the use of both", async () => (await usage(made.key)) === 0.000075);
      await eventually("the end of the grace", async () => (await status(old.key)) === 401, WITHIN_S + 4);
      assert.equal((await world.admin("GET", `/keys/${old.data.hash}`)).status, 404);
      assert.equal(await status(made.key), 200);
    });

    test("a key that was rotated without grace is refused within ten seconds", async () => {
      const old = await fine("POST", "/keys", { name: "k" });
      assert.equal(await status(old.key), 200);
      const made = await fine("POST", `/keys/${old.data.hash}/rotate`);
      await eventually("401", async () => (await status(old.key)) === 401, WITHIN_S);
      assert.equal(await status(made.key), 200);
    });

    test("a session or a user is stopped and goes on", async () => {
      for (const path of ["/sessions/run%201", "/users/u%3A1"]) {
        const { data } = await fine("POST", `${path}/stop`);
        assert.deepEqual([data.id, data.stopped], [decodeURIComponent(path.split("/")[2]), true]);
        assert.deepEqual((await fine("GET", path)).data, data);
        assert.deepEqual(pick((await fine("POST", `${path}/resume`)).data, "stopped", "stopped_at"), { stopped: false, stopped_at: null });
      }
    });

    test("nobody else may do this", async () => {
      for (const [method, path] of [["GET", "/workspaces"], ["POST", "/budgets"], ["POST", "/sessions/x/stop"], ["POST", `/keys/${"0".repeat(64)}/rotate`]]) {
        const { status } = await world.request(method, `/v1${path}`, { key: world.gateway.keys.inference, ...(method === "POST" ? { body: {} } : {}) });
        assert.equal(status, 403, path);
      }
    });

    test("OpenRouter's SDK manages workspaces and their budgets", async () => {
      const { workspaces } = new OpenRouter({ serverURL: world.base, apiKey: world.gateway.keys.management, retryConfig: { strategy: "none" }, httpClient: new HTTPClient({ fetcher: recordingFetch }) });
      const { data: made } = await workspaces.create({ createWorkspaceRequest: { name: "By SDK", slug: "by-sdk" } });
      assert.deepEqual([made.name, made.slug, made.updatedAt], ["By SDK", "by-sdk", null]);
      const { result } = await workspaces.list({});
      assert.ok(result.data.some(({ id }) => id === made.id) && result.totalCount >= 2);
      assert.equal((await workspaces.update({ id: "by-sdk", updateWorkspaceRequest: { description: "d" } })).data.description, "d");
      await workspaces.setBudget({ workspaceRef: made.id, interval: "lifetime", upsertWorkspaceBudgetRequest: { limitUsd: 3 } });
      const { data: budgets } = await workspaces.listBudgets({ workspaceRef: "by-sdk" });
      assert.deepEqual(budgets.map(({ limitUsd, resetInterval }) => [limitUsd, resetInterval]), [[3, null]]);
      assert.deepEqual(await workspaces.deleteBudget({ workspaceRef: made.id, interval: "lifetime" }), { deleted: true });
      assert.deepEqual(await workspaces.delete({ id: made.id }), { deleted: true });
    });
  });
}
