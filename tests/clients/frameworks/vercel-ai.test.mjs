// Vercel's AI SDK with its providers for OpenAI (chat and Responses), Anthropic, Google and compatible
// ones, base URLs changed.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { startDemo } from "../../support/demo.mjs";

const FAST = "demo/chat-small:nitro";
let demo;
before(async () => { demo = await startDemo(); });
after(() => demo.stop());

const at = (path) => ({ baseURL: `${demo.url}${path}`, apiKey: demo.keys.inference });
const models = {
  "openai, chat": () => createOpenAI(at("/v1")).chat(FAST),
  "openai, responses": () => createOpenAI(at("/v1")).responses(FAST),
  anthropic: () => createAnthropic(at("/v1"))(FAST),
  // It takes a name with a slash in it for the whole of the path below the base URL.
  google: () => createGoogleGenerativeAI(at("/v1beta"))(FAST),
  "openai-compatible": () => createOpenAICompatible({ ...at("/v1"), name: "gateway", includeUsage: true, supportsStructuredOutputs: true })(FAST),
};

const prompt = "Hello there";
const options = { maxRetries: 0 };

for (const [name, make] of Object.entries(models)) {
  describe(name, () => {
    test("chat", async () => {
      const { text, finishReason, usage } = await generateText({ model: make(), prompt, ...options });
      assert.match(text, /Hello there/);
      assert.equal(finishReason, "stop");
      assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0, JSON.stringify(usage));
    });

    test("a stream", async () => {
      const errors = [];
      const result = streamText({ model: make(), prompt, ...options, onError: ({ error }) => errors.push(error) });
      const pieces = [];
      for await (const piece of result.textStream) pieces.push(piece);
      assert.deepEqual(errors, []);
      assert.ok(pieces.length > 3);
      assert.match(pieces.join(""), /Hello there/);
      assert.equal(await result.finishReason, "stop");
      assert.ok((await result.usage).outputTokens > 0);
    });

    const weather = (asked) => tool({
      description: "The weather in a city.", inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => {
        asked.push(city);
        return "sunny";
      },
    });

    test("a tool, called and answered", async () => {
      const asked = [];
      const { text, steps } = await generateText({ model: make(), prompt, tools: { weather: weather(asked) }, stopWhen: stepCountIs(3), ...options });
      assert.deepEqual([asked.length, typeof asked[0]], [1, "string"]);
      assert.equal(steps[0].finishReason, "tool-calls");
      assert.match(text, /sunny/);
    });

    test("a tool in a stream", async () => {
      const asked = [];
      const result = streamText({ model: make(), prompt, tools: { weather: weather(asked) }, stopWhen: stepCountIs(3), ...options });
      assert.match((await Array.fromAsync(result.textStream)).join(""), /sunny/);
      assert.equal(asked.length, 1);
    });

    test("an object", async () => {
      const { object } = await generateObject({ model: make(), prompt, schema: z.object({ answer: z.number() }), ...options });
      assert.equal(typeof object.answer, "number");
    });
  });
}
