// The vendors' own SDKs for Python as clients of the gateway, over every recorded answer (sdks.py): parsed
// without a warning, and what they put together is what the vendor's recording says.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parsed } from "../support/chat.mjs";
import { root } from "../support/common.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { differences, statusFor } from "../support/formats/compare.mjs";
import { shown } from "../support/formats/clients.mjs";
import { exchanges, source } from "../support/formats/corpus.mjs";
import { EXPLAINED, SDKS_EXPLAINED, explanation } from "../support/formats/explained.mjs";
import { DIALECTS, asks, clientNames as allClients } from "../support/formats/matrix.mjs";
import { modelOf, register } from "../support/formats/providers.mjs";
import { marker, startReplay } from "../support/formats/replay.mjs";
import { lineOf } from "../support/formats/report.mjs";
import { CHUNKINGS, saidBy } from "../support/formats/vendor.mjs";
import { chatBody, completionsBody, completionsChunks } from "../support/formats/walk-chat.mjs";
import { responsesBody } from "../support/formats/walk-responses.mjs";
import { anthropicBody } from "../support/formats/walk-anthropic.mjs";
import { geminiChunks } from "../support/formats/walk-gemini.mjs";
import { World } from "../support/world.mjs";

const python = join(root, ".venv", "bin", "python");
// The format of the provider whose bytes a client gets as they are, so that its vendor answers for them.
const OWN = { chat: "openai.chat", completions: "openai.completions", responses: "openai.responses", messages: "anthropic.messages", gemini: "gemini.generateContent" };
const READ = {
  chat: chatBody, responses: responsesBody, messages: anthropicBody, gemini: geminiChunks,
  completions: (pieces) => (pieces.length === 1 ? completionsBody(pieces[0]) : completionsChunks(pieces)),
};

const clientNames = allClients.filter((name) => name in READ);
const all = exchanges(...DIALECTS);
const KNOWN = [...EXPLAINED, ...SDKS_EXPLAINED];

describe(`${all.length} ${source}, read by the vendors' SDKs for Python`, () => {
  let replay;
  let world;
  let outcomes;
  before(async () => {
    assert.ok(existsSync(python), `there is no ${python}: npm test makes it`);
    replay = await startReplay(all);
    world = new World(await startWorkerd(), { stop: () => replay.stop() });
    await register(world, replay, all);
    outcomes = await runPython(all.flatMap((exchange, at) => clientNames.filter((client) => asks(client, exchange)).map((client) => ({
      name: exchange.name, client, model: modelOf(exchange), stream: exchange.stream, strict: exchange.dialect !== OWN[client],
      prompt: `Please answer. ${marker(exchange.name, CHUNKINGS[(at + 2) % CHUNKINGS.length])}`,
    }))));
  });
  after(() => world.stop());

  for (const client of clientNames) {
    test(client, () => {
      const failed = all.filter((exchange) => asks(client, exchange)).map((exchange) => judge(client, exchange)).filter(({ differences: found }) => found.length > 0);
      assert.ok(failed.length === 0, `${failed.length} differ:\n${failed.slice(0, 1000).map(lineOf).join("\n")}`);
    });
  }

  function judge(client, exchange) {
    const outcome = outcomes.get(`${exchange.name} ${client}`);
    const { said } = shown(client, saidBy(exchange));
    const found = outcome.problems.map((problem) => ({ field: "python", expected: null, got: problem }));
    if (outcome.final !== null) found.push(...differences(said, READ[client](outcome.final)).filter(({ field }) => told(client, exchange, field)));
    else if (outcome.status !== null && said.failure === null) found.push({ field: "error", expected: null, got: outcome.error });
    else if (outcome.status >= 400 && said.failure?.status && statusFor(said.failure.status) !== outcome.status) found.push({ field: "status", expected: statusFor(said.failure.status), got: outcome.error });
    return { exchange, client, differences: found.filter((difference) => explanation(exchange.name, client, difference, KNOWN) === undefined) };
  }

  function runPython(cases) {
    return new Promise((resolve, reject) => {
      const { PATH, HOME } = process.env;
      const child = spawn(python, ["tests/formats/sdks.py"], { cwd: root, env: { PATH, HOME, PYTHONDONTWRITEBYTECODE: "1" }, stdio: ["pipe", "pipe", "inherit"] });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text) => { output += text; });
      child.once("error", reject);
      child.once("close", (code) => {
        const rows = output.split("\n").filter(Boolean).map(parsed);
        if (code !== 0 || rows.length !== cases.length) reject(new Error(`sdks.py ended with ${code} after ${rows.length} of ${cases.length} cases`));
        else resolve(new Map(rows.map((row) => [`${row.name} ${row.client}`, row])));
      });
      child.stdin.end(JSON.stringify({ url: world.gateway.url, key: world.gateway.keys.inference, cases }));
    });
  }
});

// OpenAI's SDK puts together what OpenAI has: of other members of a stream it keeps the last piece.
const told = (client, { stream }, field) => !(client === "chat" && stream && ["reasoning", "images"].includes(field));
