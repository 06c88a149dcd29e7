// OpenRouter's own SDK for Node with its server URL changed, against the demo. It checks every answer
// against OpenRouter's schemas, so what passes here has OpenRouter's shapes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HTTPClient, OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";
import { eventually } from "../support/common.mjs";
import { demoCost, startDemo } from "../support/demo.mjs";
import { recordingFetch } from "../support/record.mjs";

let demo;
const fast = "demo/chat-small:nitro";
const messages = [{ role: "user", content: "Hello there" }];
const camel = (usage) => ({ prompt_tokens: usage.promptTokens, completion_tokens: usage.completionTokens });

before(async () => { demo = await startDemo(); });
after(() => demo.stop());

for (const base of ["/api/v1", "/v1"]) {
  describe(`below ${base}`, () => {
    const as = (apiKey) => new OpenRouter({ serverURL: `${demo.url}${base}`, apiKey, retryConfig: { strategy: "none" }, httpClient: new HTTPClient({ fetcher: recordingFetch }) });
    let client;
    let manager;
    before(() => {
      client = as(demo.keys.inference);
      manager = as(demo.keys.management);
    });
    const chat = (request, more) => client.chat.send({ chatRequest: { model: fast, messages, ...request }, ...more });

    test("chat", async () => {
      const answer = await chat({});
      assert.match(answer.id, /^gen-/);
      assert.equal(answer.model, "demo/chat-small");
      assert.match(answer.choices[0].message.content, /Hello there/);
      assert.equal(answer.choices[0].finishReason, "stop");
      assert.equal(answer.usage.cost, demoCost("fast", camel(answer.usage)));
    });

    test("streaming", async () => {
      const chunks = [];
      for await (const chunk of await chat({ stream: true })) chunks.push(chunk);
      assert.ok(chunks.length > 5 && chunks.every((chunk) => chunk.id === chunks[0].id && chunk.id.startsWith("gen-")));
      assert.match(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), /Hello there/);
      const { usage } = chunks.at(-1);
      assert.equal(usage.cost, demoCost("fast", camel(usage)));
    });

    test("tools", async () => {
      const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
      const { choices: [{ message, finishReason }] } = await chat({ tools });
      assert.equal(finishReason, "tool_calls");
      assert.equal(message.toolCalls[0].function.name, "weather");
    });

    test("provider preferences, models and metadata", async () => {
      const answer = await chat({ model: "demo/chat-small", provider: { order: ["demo-cheap"], allowFallbacks: false } });
      assert.equal(answer.usage.cost, demoCost("cheap", camel(answer.usage)));
      const fallback = await chat({ model: undefined, models: ["demo/chat-large:nitro", "demo/chat-small"] });
      assert.equal(fallback.model, "demo/chat-large");
    });

    test("models, endpoints, providers", async () => {
      const ids = [];
      for await (const page of await client.models.list()) for (const model of page.result?.data ?? page.data) ids.push(model.id);
      assert.deepEqual(ids.filter((id) => id.startsWith("demo/")), ["demo/chat-large", "demo/chat-small", "demo/reasoner"]);
      assert.ok((await client.models.count()).data.count >= 3);
      const { data: model } = await client.models.get({ author: "demo", slug: "chat-small" });
      assert.equal(model.id, "demo/chat-small");
      const { data } = await client.endpoints.list({ author: "demo", slug: "chat-small" });
      assert.deepEqual(data.endpoints.map((endpoint) => [endpoint.tag, endpoint.pricing.prompt]), [["demo-cheap", "0.00000005"], ["demo-balanced", "0.00000015"], ["demo-fast", "0.0000005"]]);
      const { data: providers } = await client.providers.list();
      assert.ok(providers.some((provider) => provider.slug === "demo-fast" && provider.name === "Demo (fast)"));
    });

    test("the generation is found within five seconds, with tokens and cost", async () => {
      const { id, usage } = await chat({ sessionId: "s-1" });
      const { data } = await eventually("the generation", async () => {
        try {
          return await client.generations.getGeneration({ id });
        } catch (error) {
          if (error instanceof errors.NotFoundResponseError) return undefined;
          throw error;
        }
      }, 5);
      assert.deepEqual([data.id, data.tokensPrompt, data.tokensCompletion, data.totalCost, data.sessionId], [id, usage.promptTokens, usage.completionTokens, usage.cost, "s-1"]);
    });

    test("keys: create, use, list, read, change, disable, delete", async () => {
      const { key, data: made } = await manager.apiKeys.create({ requestBody: { name: `sdk ${base}`, limit: 5, limitReset: "daily" } });
      assert.match(key, /^sk-sl-v1-/);
      assert.deepEqual([made.name, made.limit, made.limitReset, made.disabled], [`sdk ${base}`, 5, "daily", false]);
      const { hash } = made;
      assert.equal((await as(key).chat.send({ chatRequest: { model: fast, messages } })).model, "demo/chat-small");
      assert.equal((await as(key).apiKeys.getCurrentKeyMetadata()).data.limit, 5);
      const listed = await manager.apiKeys.list();
      const rows = listed.data ?? listed.result?.data;
      assert.ok(rows.some((row) => row.hash === hash) && !JSON.stringify(rows).includes(key));
      assert.equal((await manager.apiKeys.get({ hash })).data.name, `sdk ${base}`);
      const changed = await manager.apiKeys.update({ hash, requestBody: { name: "renamed", disabled: true } });
      assert.deepEqual([changed.data.name, changed.data.disabled], ["renamed", true]);
      await eventually("the key is refused", () => as(key).chat.send({ chatRequest: { model: fast, messages } }).then(() => false, (error) => error instanceof errors.UnauthorizedResponseError), 10);
      assert.equal((await manager.apiKeys.delete({ hash })).deleted, true);
      await assert.rejects(manager.apiKeys.get({ hash }), errors.NotFoundResponseError);
    });

    test("leaving a stream ends it, and it is recorded as cancelled", async () => {
      let id;
      for await (const chunk of await chat({ model: "demo/chat-small:floor", stream: true })) {
        id = chunk.id;
        if (chunk.choices[0]?.delta.content) break;
      }
      assert.equal((await demo.generation(id, 15)).cancelled, true);
    });

    const refusals = [
      ["a wrong value", errors.BadRequestResponseError, 400, () => chat({ temperature: 5 })],
      ["an unknown model", errors.BadRequestResponseError, 400, () => chat({ model: "nobody/nothing" })],
      ["an unknown model, asked for a stream", errors.BadRequestResponseError, 400, () => chat({ model: "nobody/nothing", stream: true })],
      ["a key that is none", errors.UnauthorizedResponseError, 401, () => as("sk-or-v1-x").chat.send({ chatRequest: { model: fast, messages } })],
      ["a management key", errors.ForbiddenResponseError, 403, () => manager.chat.send({ chatRequest: { model: fast, messages } })],
      ["nobody left to serve", errors.NotFoundResponseError, 404, () => chat({ provider: { only: ["nobody"] } })],
      ["a generation nobody made", errors.NotFoundResponseError, 404, () => client.generations.getGeneration({ id: "gen-1-x" })],
      ["keys with an inference key", errors.ForbiddenResponseError, 403, () => client.apiKeys.create({ requestBody: { name: "x" } })],
      ["a key without a good limit", errors.BadRequestResponseError, 400, () => manager.apiKeys.create({ requestBody: { name: "x", limit: -1 } })],
    ];
    for (const [what, type, code, run] of refusals) {
      test(`errors are the SDK's own: ${what}`, async () => {
        const error = await run().then(() => assert.fail("no error"), (error) => error);
        assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
        assert.deepEqual([error.statusCode, error.error.code], [code, code], "the code is the status, as a number");
        assert.ok(error.error.message.length > 20);
      });
    }
  });
}
