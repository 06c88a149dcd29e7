// What providers really sent: recorded exchanges of the OpenAI chat dialect, served again as they were
// and sent through the gateway in both modes. Read from SLUICE_CORPUS (../shared/corpus beside the
// project); without it a few exchanges of our own stand in.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { ask, assemble, completion, readEvents, wholeStream } from "../support/chat.mjs";
import { root } from "../support/common.mjs";
import { answers, cut, streams } from "../support/fake-provider.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const folder = resolve(root, process.env.SLUICE_CORPUS ?? "../shared/corpus");
const exchanges = existsSync(folder) ? recorded() : standIns();
// What a client is told of a provider's status (src/routing/fallback.rs).
const STATUS = { 400: 400, 401: 502, 402: 502, 403: 502, 404: 502, 413: 413, 422: 400, 429: 429, 500: 502, 503: 503 };
// Request members that the gateway refuses because it cannot carry them out.
const REFUSED = /^(plugins|transforms|preset|reasoning.*)$/;

function recorded() {
  return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap(({ name }) =>
    readdirSync(join(folder, name)).sort().map((file) => JSON.parse(readFileSync(join(folder, name, file), "utf8"))))
    .filter(({ dialect, framing }) => dialect === "openai.chat" && (framing === null || framing === "sse"));
}

function standIns() {
  const exchange = (id, response, stream = false) => ({ id, provider: "stand-in", stream, framing: stream ? "sse" : null, request: { body: ask("x", { stream }) }, response });
  return [
    exchange("whole", { status: 200, body: completion() }),
    exchange("stream", { status: 200, sse: wholeStream().join("") }, true),
    exchange("stream-crlf", { status: 200, sse: wholeStream().join("").replaceAll("\n", "\r\n") }, true),
    exchange("error-400", { status: 400, body: { error: { message: "max_tokens is too large: 99.", type: "invalid_request_error", param: "max_tokens", code: null } } }),
    exchange("error-429", { status: 429, body: { error: { message: "slow down" } } }),
  ];
}

describe(existsSync(folder) ? `${exchanges.length} recorded exchanges` : `no corpus at ${folder}: ${exchanges.length} exchanges of our own`, () => {
  let world;
  let model;
  before(async () => {
    world = await startWorld(startWorkerd);
    model = await world.model([answers("")], { name: "replay" });
  });
  after(() => world.stop());

  // The recorded request where there is one, of this model; a plain one where the gateway names a member
  // that it does not carry.
  async function send({ request, stream }, behaviour, headers = {}) {
    world.fake.when("replay-1", behaviour);
    // Which model and provider served then is no matter here.
    const { models, provider, ...body } = request.body ?? ask(model);
    const before = world.received(model).length;
    const answer = await world.chat({ ...body, model, stream }, { headers });
    const refused = world.received(model).length === before;
    if (!refused) return answer;
    assert.ok(answer.status === 400 && REFUSED.test(answer.body.error.param), `refused: ${answer.text}`);
    return world.chat(ask(model, { stream }), { headers });
  }

  for (const exchange of exchanges) {
    const { id, provider, framing, response } = exchange;
    const name = `${provider}/${id}`;
    const type = response.headers?.["content-type"];
    if (framing === "sse") {
      test(`${name}, edited`, async () => checkEdited(await send(exchange, streams(cut(response.sse, 1000, 3, 77))), response.sse));
      test(`${name}, native`, async () => checkNative(await send(exchange, streams(cut(response.sse, 1000, 3, 77)), { "x-sluice-stream": "native" }), response.sse));
    } else {
      const body = typeof response.body === "string" ? response.body : JSON.stringify(response.body);
      const behaviour = answers(body, { status: response.status, headers: type === undefined ? {} : { "content-type": type } });
      test(name, async () => checkWhole(await send(exchange, behaviour), response));
    }
  }

  function checkWhole(answer, { status, body }) {
    if (status !== 200 || body.error) {
      const expected = STATUS[status === 200 ? Number(body.error.code ?? 500) : status] ?? 502;
      assert.equal(answer.status, expected, answer.text);
      const { message, metadata } = answer.body.error;
      assert.ok(message.length > 10 && metadata.error_type);
      return;
    }
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(rest(answer.body), rest(body));
    checkUsage(answer.body.usage, body.usage);
  }

  function checkEdited(answer, sse) {
    const original = readEvents(sse);
    if (fails(original)) return checkFailure(answer);
    assert.equal(answer.status, 200, answer.text);
    const { chunks, rubbish, done } = readEvents(answer.text);
    assert.ok(done);
    assert.deepEqual(rubbish, []);
    const closing = (chunk) => chunk.choices?.length === 0 && chunk.usage;
    assert.deepEqual(chunks.slice(0, -1).map(rest), original.chunks.filter((chunk) => !closing(chunk)).map(rest));
    assert.deepEqual(assemble(chunks), assemble(original.chunks));
    // Groq's streams had it in a member of their own once.
    const used = ({ usage, x_groq }) => usage ?? x_groq?.usage;
    const last = original.chunks.findLast(used);
    checkUsage(chunks.at(-1).usage, last && used(last));
    assert.equal(chunks.filter((chunk) => chunk.usage).length, 1);
  }

  function checkNative(answer, sse) {
    if (!fails(readEvents(sse))) {
      assert.equal(answer.status, 200, answer.text);
      return assert.ok(answer.text === sse, `bytes differ:\n${answer.text}\ninstead of\n${sse}`);
    }
    checkFailure(answer);
  }

  // It ends in an error, or before its end.
  const fails = ({ chunks, rubbish, done }) => rubbish.length > 0 || chunks.some((chunk) => chunk.error) || !done && !chunks.some((chunk) => chunk.choices?.some((choice) => choice.finish_reason));

  function checkFailure(answer) {
    if (answer.status !== 200) return assert.ok(answer.status >= 400 && answer.body.error.message.length > 10, answer.text);
    const { chunks, done } = readEvents(answer.text);
    assert.ok(!done && chunks.at(-1).error.message.length > 10, answer.text);
  }

  // Without what the gateway owns.
  function rest({ id, model, provider, usage, system_fingerprint, ...whole }) {
    const choices = whole.choices?.map(({ native_finish_reason, usage, ...choice }) => choice);
    return { ...whole, ...(choices && { choices }), ...(system_fingerprint && { system_fingerprint }) };
  }

  // Everything the provider said of usage is there, beside the cost.
  function checkUsage(usage, original) {
    assert.equal(typeof usage.cost, "number");
    if (!original) return assert.equal(usage.is_estimated, true);
    const { cost, cost_details, is_byok, ...kept } = usage;
    const { cost: theirs, cost_details: details, is_byok: byok, ...said } = original;
    // A total may be added where the provider gave none.
    assert.deepEqual({ ...kept, total_tokens: said.total_tokens }, { total_tokens: undefined, ...said });
  }
});
