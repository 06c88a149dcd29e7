// The replay server and the walkers, without the gateway: the vendors' own SDKs speak to the server as to
// their vendor, and what they put together is what the walkers read off the recorded bytes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CREDENTIAL } from "../support/common.mjs";
import { differences } from "../support/formats/compare.mjs";
import { exchanges, source } from "../support/formats/corpus.mjs";
import { runAll } from "../support/formats/matrix.mjs";
import { marker, startReplay } from "../support/formats/replay.mjs";
import { SDKS } from "../support/formats/sdks.mjs";
import { CHUNKINGS, saidBy } from "../support/formats/vendor.mjs";

// Which exchanges each SDK's vendor gave, and where the server has that vendor.
const VENDORS = {
  chat: ["openai.chat", "openai", "/openai/openai"],
  completions: ["openai.completions", "openai", "/openai/openai"],
  responses: ["openai.responses", "openai", "/openai/openai"],
  messages: ["anthropic.messages", "anthropic", "/anthropic"],
  gemini: ["gemini.generateContent", "google", "/gemini"],
};

// What an SDK puts together otherwise, and why.
const APART = [
  ["openai/chat-stream-text-40b40d83", "its last event holds an `error` and no `choices`, which the SDK trips over"],
  ["openai/responses-stream-server-tool-call-58f97f4a", "the recorder shortened the deltas: the text at the end is longer than they are"],
];

for (const [client, [dialect, provider, place]] of Object.entries(VENDORS)) {
  const cases = exchanges(dialect).filter((exchange) => exchange.provider === provider);
  describe(`${cases.length} ${source} of ${dialect}, read by the vendor's SDK`, () => {
    let replay;
    before(async () => { replay = await startReplay(cases); });
    after(() => replay.stop());

    test("the SDK and the walker read the same", async () => {
      const failed = await runAll(cases.map((exchange, at) => [exchange, at]), read);
      assert.deepEqual(failed.flat().filter((line) => !APART.some(([name]) => line.startsWith(name))), []);
      assert.deepEqual(replay.faults, []);
    });

    async function read(exchange, at) {
      const expected = saidBy(exchange);
      // The vendors leave a stream's usage out unless it is asked for.
      const silent = expected.failure === null && expected.usage === null;
      const prompt = marker(exchange.name, CHUNKINGS[at % CHUNKINGS.length]);
      let got;
      try {
        got = await SDKS[client](replay.url + place, CREDENTIAL, "recorded-model", prompt, exchange.stream);
      } catch (error) {
        return expected.failure === null ? [`${exchange.name}: ${error.stack}`] : [];
      }
      return differences(expected, silent ? { ...got, usage: { prompt: 0 } } : got).map(({ field, expected: one, got: other }) => `${exchange.name}: ${field} is ${JSON.stringify(other)} instead of ${JSON.stringify(one)}`);
    }
  });
}
