// What a provider of any dialect may answer instead of an answer: another stands in, its health counts, and
// where there is none the client learns who failed. What is odd in an answer is not believed.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask } from "../support/chat.mjs";
import { ANSWER } from "../support/common.mjs";
import { DIALECTS, FAILURE, registerDialects, wholeOf } from "../support/dialects.mjs";
import { answers, streams } from "../support/fake-provider.mjs";
import { leaks, startWorkerd } from "../support/gateway.mjs";
import { ROUTES } from "../support/routes.mjs";
import { startWorld } from "../support/world.mjs";

const HTML = answers("<html><body>Bad Gateway</body></html>", { headers: { "content-type": "text/html" } });
const MIB = Buffer.alloc(1 << 20, " ");
const fits = (format) => format.whole(ANSWER);

// 100 MB in pieces, of no declared size: a JSON text that does not end.
const endless = async (exchange) => {
  exchange.head(200, { "content-type": "application/json" });
  exchange.response.on("error", () => {});
  for (let n = 0; n < 100 && !exchange.response.destroyed; n++) {
    if (!exchange.response.write(n === 0 ? "{" : MIB)) await Promise.race([exchange.closed, new Promise((drained) => exchange.response.once("drain", drained))]);
  }
};

// By name: (format) to a behaviour, and the cause that the record names.
const wholes = {
  "half a JSON": [(format) => answers(JSON.stringify(fits(format)).slice(0, -12)), "malformed"],
  "HTML": [() => HTML, "malformed"],
  "nothing": [() => answers(""), "malformed"],
  "an empty object": [() => answers({}), "malformed"],
  "a list": [(format) => answers([fits(format)]), "malformed"],
  "an error with status 200": [(format) => answers(format.error(FAILURE)), "error_in_body"],
};
const rubbish = (format) => (format.type.includes("amazon") ? Buffer.from("this is no event stream at all, but text\n\n") : "data: {\"half\":\n\n{\n");
const opened = {
  "half a JSON": [(format) => answers(JSON.stringify(fits(format)).slice(0, -12), { headers: { "content-type": "text/plain" } }), "malformed"],
  "HTML": [() => HTML, "malformed"],
  "a whole answer": [(format) => answers(fits(format), { headers: { "content-type": "application/pdf" } }), "malformed"],
  "an error with status 200": [(format) => answers(format.error(FAILURE), { headers: { "content-type": "text/plain" } }), "error_in_body"],
  "rubbish": [(format) => streams([rubbish(format)], { headers: { "content-type": format.type } }), "malformed"],
  "an error as its first event": [(format) => streams([format.failure], { headers: { "content-type": format.type } }), "error_in_body"],
  "no event at all": [(format) => streams([], { headers: { "content-type": format.type } }), "connection"],
};
const cases = [...Object.entries(wholes).map((row) => [false, ...row]), ...Object.entries(opened).map((row) => [true, ...row])];

describe("on workerd", { concurrency: 8 }, () => {
  let world;
  let models = 0;
  before(async () => {
    world = await startWorld(startWorkerd);
    await registerDialects(world, "-d", { timeouts_ms: { first_token: 20_000, idle: 20_000, total: 60_000 } });
  });
  after(() => world.stop());

  const modelOf = (...served) => {
    const prefix = served.map(([dialect]) => DIALECTS[dialect].prefix).find(Boolean) ?? "";
    return world.model(served.map(([, behaviour]) => behaviour), { name: `${prefix}b${++models}`, providers: served.map(([dialect]) => `${dialect}-d`) });
  };

  for (const [dialect, format] of Object.entries(DIALECTS)) {
    test(`${dialect}: what is no answer is nobody's, and another stands in`, () => Promise.all(cases.map(async ([stream, what, [behaviour, cause]]) => {
      const good = stream ? streams(wholeOf(DIALECTS.openai, [ANSWER]), {}) : answers(DIALECTS.openai.whole(ANSWER));
      const alone = await modelOf([dialect, behaviour(format)]);
      const refused = await world.chat(ask(alone, { stream }));
      const told = `${what}${stream ? ", stream" : ""}: ${refused.text}`;
      assert.equal(refused.status, 502, told);
      const { metadata } = refused.body.error;
      assert.deepEqual([metadata.error_type, metadata.provider_name], ["provider_unavailable", `Fake ${dialect}-d`], told);
      assert.deepEqual(leaks(refused.text), []);
      const row = await world.row(refused.headers.get("x-generation-id"));
      assert.deepEqual([row.outcome, row.cost_nano, row.attempts.map((one) => one.cause)], ["error", null, [cause]], told);
      const model = await modelOf([dialect, behaviour(format)], ["openai", good]);
      for (const again of [false, true]) assert.equal((await world.chat(ask(model, { stream }))).status, 200, `${told}, again: ${again}`);
      assert.deepEqual([world.received(model, 1).length, world.received(model, 2).length], [1, 2], `${told}: its health counts`);
    })));

    for (const [what, change] of [
      ["no usage", () => format.whole(ANSWER, { usage: null })],
      ["absurd counts", () => JSON.stringify(format.whole(ANSWER)).replaceAll(":11", ":1e300").replaceAll(":7", ":-3").replaceAll(":18", ":-9e99")],
      ["counts that are words", () => JSON.stringify(format.whole(ANSWER)).replaceAll(":11", ':"many"').replaceAll(":7", ":[]")],
    ]) {
      test(`${dialect}: an answer with ${what} is one, and its use is estimated`, async () => {
        const model = await modelOf([dialect, answers(change())]);
        const answer = await world.chat(ask(model));
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.body.usage.is_estimated, true, answer.text);
        const row = await world.row(answer.headers.get("x-generation-id"));
        assert.deepEqual([row.outcome, row.estimated, row.cost_nano], ["ok", 1, Math.round(answer.body.usage.cost * 1e9)]);
        assert.ok(row.prompt_tokens > 0 && row.prompt_tokens < 1000 && row.completion_tokens > 0 && row.completion_tokens < 1000, JSON.stringify(row));
      });
    }
  }

  for (const dialect of ["openai", "gemini"]) {
    test(`${dialect}: an answer of 100 MB is none`, async () => {
      const model = await modelOf([dialect, endless]);
      const answer = await world.chat(ask(model));
      assert.deepEqual([answer.status, answer.body.error?.metadata.provider_name], [502, `Fake ${dialect}-d`], answer.text);
      assert.equal((await world.chat(ask(await modelOf([dialect, answers(fits(DIALECTS[dialect]))])))).status, 200, "the gateway goes on");
    });
  }

  // What is no conversation: every route whose answer is read.
  for (const route of ROUTES.filter(({ told, free, name }) => told !== undefined && !free && !/behind/.test(name))) {
    test(`${route.name}: what is no answer is the provider's fault`, async () => {
      for (const behaviour of [HTML, answers({}), answers({ error: { message: FAILURE } })]) {
        const model = await world.model([behaviour], { providers: [`${route.dialect}-d`] });
        const answer = await world.request("POST", route.path(model), { body: route.body(model), key: world.gateway.keys.inference, headers: route.headers });
        assert.equal(answer.status, 502, answer.text);
        assert.ok(answer.text.includes(`Fake ${route.dialect}-d`), answer.text);
      }
    });
  }
});
