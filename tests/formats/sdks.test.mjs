// The vendors' own SDKs for Node as clients of the gateway, over every recorded answer: they parse it, whole
// or event by event, put it together, and what they have then is what the vendor's recording says.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startWorkerd } from "../support/gateway.mjs";
import { differences, statusFor } from "../support/formats/compare.mjs";
import { shown } from "../support/formats/clients.mjs";
import { exchanges, source } from "../support/formats/corpus.mjs";
import { EXPLAINED, SDKS_EXPLAINED, explanation } from "../support/formats/explained.mjs";
import { DIALECTS, asks, clientNames, runAll } from "../support/formats/matrix.mjs";
import { modelOf, register } from "../support/formats/providers.mjs";
import { marker, startReplay } from "../support/formats/replay.mjs";
import { lineOf } from "../support/formats/report.mjs";
import { SDKS, statusOf } from "../support/formats/sdks.mjs";
import { CHUNKINGS, saidBy } from "../support/formats/vendor.mjs";
import { World } from "../support/world.mjs";

const all = exchanges(...DIALECTS);
const KNOWN = [...EXPLAINED, ...SDKS_EXPLAINED];

describe(`${all.length} ${source}, read by the vendors' SDKs`, () => {
  let replay;
  let world;
  let unregistered;
  const warnings = [];
  const warned = (warning) => warnings.push(String(warning));
  before(async () => {
    process.on("warning", warned);
    replay = await startReplay(all);
    world = new World(await startWorkerd(), { stop: () => replay.stop() });
    unregistered = await register(world, replay, all);
  });
  after(async () => {
    process.off("warning", warned);
    await world.stop();
  });

  test("every provider of the corpus can be registered", () => assert.deepEqual([...unregistered], []));

  for (const client of clientNames.filter((name) => name in SDKS)) {
    test(client, async () => {
      const failed = (await runAll(all.filter((exchange) => asks(client, exchange)).map((exchange, at) => [exchange, at]), (exchange, at) => read(client, exchange, at))).filter(({ differences: found }) => found.length > 0);
      assert.ok(failed.length === 0, `${failed.length} differ:\n${failed.slice(0, 100).map(lineOf).join("\n")}`);
      assert.deepEqual(warnings, []);
    });
  }

  // Another chunking than the matrix gave this client.
  async function read(client, exchange, at) {
    const { said } = shown(client, saidBy(exchange));
    const { gateway } = world;
    let found;
    try {
      const prompt = `Please answer. ${marker(exchange.name, CHUNKINGS[(at + 1) % CHUNKINGS.length])}`;
      found = differences(said, await SDKS[client](gateway.url, gateway.keys.inference, modelOf(exchange), prompt, exchange.stream));
    } catch (error) {
      found = refused(said, error);
    }
    return { exchange, client, differences: found.filter((difference) => explanation(exchange.name, client, difference, KNOWN) === undefined) };
  }

  function refused({ failure }, error) {
    if (failure === null) return [{ field: "error", expected: null, got: error.stack }];
    const status = statusOf(error);
    const expected = failure.status === null ? status : statusFor(failure.status);
    // An error in mid-stream has no status of its own.
    return status === undefined || status === null || status === expected ? [] : [{ field: "status", expected, got: error.stack }];
  }
});
