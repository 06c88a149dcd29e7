// Recorded embeddings and counts of tokens, served again as their providers and asked for in both formats
// that clients have for each: vectors, their order and the tokens are what the vendor's recording says.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startWorkerd } from "../support/gateway.mjs";
import { statusFor } from "../support/formats/compare.mjs";
import { exchanges, source } from "../support/formats/corpus.mjs";
import { ask } from "../support/formats/matrix.mjs";
import { modelOf, register } from "../support/formats/providers.mjs";
import { marker, startReplay } from "../support/formats/replay.mjs";
import { World } from "../support/world.mjs";

// What cannot be asked for, and why.
const UNASKED = {
  "google/embed-unary-embeddings-b11b0f73": "AI Studio is asked for embeddings in batches",
  "ollama/native-embed-unary-embeddings-66d7ef06": "Ollama's older /api/embeddings",
};

const embeddings = exchanges("openai.embeddings", "gemini.embedContent", "cohere.embed.v2", "ollama.embed", "vertex.predict").filter(({ name }) => !(name in UNASKED));
const counts = exchanges("anthropic.count_tokens", "gemini.countTokens");

// Numbers, also where they came as the base64 of little-endian floats.
function numbers(vector) {
  if (Array.isArray(vector)) return vector;
  const bytes = Buffer.from(vector, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, n) => bytes.readFloatLE(4 * n));
}

// Perplexity's base64 is of whole numbers, a byte each.
const ofBytes = (vector) => [...Buffer.from(vector, "base64")].map((byte) => (byte << 24) >> 24);

// What a vendor says: {vectors, tokens}; tokens null where it does not say.
const SAID = {
  "openai.embeddings": ({ data, usage }) => ({ vectors: data.map(({ embedding }) => embedding), tokens: usage?.prompt_tokens ?? null }),
  "gemini.embedContent": ({ embedding, embeddings: list, usageMetadata }) => ({ vectors: (list ?? [embedding]).map(({ values }) => values), tokens: usageMetadata?.promptTokenCount ?? null }),
  "cohere.embed.v2": ({ embeddings: { float }, meta }) => ({ vectors: float, tokens: meta?.billed_units?.input_tokens ?? null }),
  "ollama.embed": ({ embeddings: list, prompt_eval_count }) => ({ vectors: list, tokens: prompt_eval_count ?? null }),
  "vertex.predict": ({ predictions }) => ({ vectors: predictions.map(({ embeddings: { values } }) => values), tokens: predictions.reduce((sum, { embeddings: { statistics } }) => sum + statistics.token_count, 0) }),
};

const texts = ({ name }, many) => Array.from({ length: many }, (_, n) => (n === 0 ? marker(name) : `text ${n}`));
const EMBEDDING_CLIENTS = {
  openai: {
    path: () => "/v1/embeddings", body: (model, input) => ({ model, input }),
    read: ({ data, usage }) => ({ vectors: data.sort((a, b) => a.index - b.index).map(({ embedding }) => embedding), tokens: usage.prompt_tokens }),
  },
  "openai, in base64": {
    path: () => "/v1/embeddings", body: (model, input) => ({ model, input, encoding_format: "base64" }),
    read: ({ data, usage }) => ({ vectors: data.map(({ embedding }) => embedding), tokens: usage.prompt_tokens }),
  },
  gemini: {
    path: (model) => `/v1beta/models/${model}:batchEmbedContents`,
    body: (model, input) => ({ requests: input.map((text) => ({ model: `models/${model}`, content: { parts: [{ text }] } })) }),
    read: ({ embeddings: list, usageMetadata }) => ({ vectors: list.map(({ values }) => values), tokens: usageMetadata.promptTokenCount }),
  },
};
const COUNT_CLIENTS = {
  anthropic: { path: () => "/v1/messages/count_tokens", body: (model, content) => ({ model, messages: [{ role: "user", content }] }), read: ({ input_tokens }) => input_tokens },
  gemini: { path: (model) => `/v1beta/models/${model}:countTokens`, body: (model, text) => ({ contents: [{ role: "user", parts: [{ text }] }] }), read: ({ totalTokens }) => totalTokens },
};

// As floats of 32 bits, which base64 holds.
function near(vector, said) {
  const [one, other] = [numbers(vector), numbers(said)];
  return one.length === other.length && one.every((number, n) => Math.abs(Math.fround(number) - Math.fround(other[n])) <= 1e-6 * Math.max(1, Math.abs(number)));
}

describe(`${embeddings.length} embeddings and ${counts.length} counts of ${source}`, { skip: embeddings.length + counts.length === 0 }, () => {
  let replay;
  let world;
  before(async () => {
    replay = await startReplay([...embeddings, ...counts]);
    world = new World(await startWorkerd(), { stop: () => replay.stop() });
    assert.deepEqual([...await register(world, replay, [...embeddings, ...counts])], []);
  });
  after(() => world.stop());

  const send = ({ path, body }, exchange, input) => {
    const model = modelOf(exchange);
    return ask(world, path(model), body(model, input));
  };
  const refused = (exchange, { status, text }) => (status === statusFor(exchange.response.status) ? [] : [`${exchange.name}: ${status} ${text.slice(0, 300)}`]);

  for (const [client, format] of Object.entries(EMBEDDING_CLIENTS)) {
    test(`embeddings for ${client}`, async () => {
      const failed = [];
      for (const exchange of embeddings) {
        const { status, body } = exchange.response;
        if (status !== 200) {
          failed.push(...refused(exchange, await send(format, exchange, texts(exchange, 1))));
          continue;
        }
        const said = SAID[exchange.dialect](body);
        if (exchange.name.startsWith("perplexity/")) said.vectors = said.vectors.map(ofBytes);
        // Nobody asks for base64 on behalf of Google's clients, and it was not what was asked for then.
        if (client === "gemini" && typeof said.vectors[0] === "string") continue;
        const answer = await send(format, exchange, texts(exchange, said.vectors.length));
        if (answer.status !== 200) {
          failed.push(`${exchange.name}: ${answer.status} ${answer.text.slice(0, 300)}`);
          continue;
        }
        const got = format.read(answer.body);
        const same = got.vectors.length === said.vectors.length && got.vectors.every((vector, n) => near(vector, said.vectors[n]));
        if (!same) failed.push(`${exchange.name}: other vectors, ${JSON.stringify(got.vectors).slice(0, 200)} instead of ${JSON.stringify(said.vectors).slice(0, 200)}`);
        if (said.tokens !== null && got.tokens !== said.tokens) failed.push(`${exchange.name}: ${got.tokens} tokens instead of ${said.tokens}`);
      }
      assert.deepEqual(failed, []);
    });
  }

  for (const [client, format] of Object.entries(COUNT_CLIENTS)) {
    test(`counts for ${client}`, async () => {
      const failed = [];
      for (const exchange of counts) {
        const answer = await send(format, exchange, marker(exchange.name));
        if (exchange.response.status !== 200) failed.push(...refused(exchange, answer));
        else {
          const { input_tokens, totalTokens } = exchange.response.body;
          if (answer.status !== 200 || format.read(answer.body) !== (input_tokens ?? totalTokens)) failed.push(`${exchange.name}: ${answer.status} ${answer.text.slice(0, 300)}`);
        }
      }
      assert.deepEqual(failed, []);
    });
  }

  test("providers were asked as they are to be asked", () => assert.deepEqual(replay.faults, []));
});
