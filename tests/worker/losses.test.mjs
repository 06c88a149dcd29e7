// What a provider's format has no place for: a loss that is listed where it changes nothing of what was asked,
// a refusal where it does, and another endpoint where one has a place for it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask } from "../support/chat.mjs";
import { DIALECTS, registerDialects } from "../support/dialects.mjs";
import { answers } from "../support/fake-provider.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const tool = { type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } };

// Dialect, members of the request, and the losses.
const lost = [
  ["anthropic", { seed: 5, frequency_penalty: 0.5 }, ["frequency_penalty", "seed"]],
  ["bedrock", { seed: 5, presence_penalty: 0.5 }, ["presence_penalty", "seed"]],
  ["openai-responses", { seed: 5, stop: ["END"] }, ["seed", "stop"]],
  ["gemini", { logit_bias: { 5: 1 } }, ["logit_bias"]],
  ["cohere", { logit_bias: { 5: 1 } }, ["logit_bias"]],
  ["ollama", { logit_bias: { 5: 1 } }, ["logit_bias"]],
  ["openai", { seed: 5, logit_bias: { 5: 1 }, stop: ["END"] }, []],
];
// And the field at fault.
const refused = [
  ["anthropic", { n: 2 }, "n"],
  ["bedrock", { n: 2 }, "n"],
  ["cohere", { n: 2 }, "n"],
  ["openai-responses", { n: 2 }, "n"],
  ["ollama", { tools: [tool], tool_choice: "required" }, "tool_choice"],
];

describe("on workerd", { concurrency: 6 }, () => {
  let world;
  let models = 0;
  before(async () => {
    world = await startWorld(startWorkerd);
    await registerDialects(world, "-d");
  });
  after(() => world.stop());

  const modelOf = (...dialects) => world.model(dialects.map((dialect) => answers(DIALECTS[dialect].whole("fine"))), { name: `l${++models}`, providers: dialects.map((dialect) => `${dialect}-d`) });

  for (const [dialect, members, losses] of lost) {
    test(`${dialect} has no place for ${losses.join(" and ") || "nothing of it"}`, async () => {
      const answer = await world.chat(ask(await modelOf(dialect), members));
      assert.equal(answer.status, 200, answer.text);
      const named = answer.headers.get("x-sluice-losses")?.split(",") ?? [];
      assert.deepEqual(named.sort(), losses);
      const row = await world.row(answer.headers.get("x-generation-id"));
      assert.deepEqual(JSON.parse(row.losses ?? "[]").sort(), losses);
    });
  }

  for (const [dialect, members, field] of refused) {
    test(`${dialect} cannot be asked for ${field}: 400, or who can is asked`, async () => {
      const alone = await modelOf(dialect);
      const answer = await world.chat(ask(alone, members));
      assert.deepEqual([answer.status, answer.body.error?.code, answer.body.error?.param], [400, "unsupported_parameter", field], answer.text);
      assert.equal(world.received(alone).length, 0);
      const model = await modelOf(dialect, "openai");
      const served = await world.chat(ask(model, members));
      assert.deepEqual([served.status, served.body.provider, served.headers.get("x-sluice-losses")], [200, "Fake openai-d", null], served.text);
      assert.deepEqual([world.received(model, 1).length, world.received(model, 2).length], [0, 1]);
    });
  }
});
