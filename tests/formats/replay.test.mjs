// Every recorded answer of every provider, served again as that provider and sent through the gateway to
// every client's format: what the client reads is what the vendor's recording says. What cannot be is in
// tests/support/formats/explained.mjs; case by case it is in target/formats-report.md.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startWorkerd } from "../support/gateway.mjs";
import { exchanges, recorded, source } from "../support/formats/corpus.mjs";
import { EXPLAINED, used } from "../support/formats/explained.mjs";
import { DIALECTS, asks, clientNames, complete, runAll, runCase } from "../support/formats/matrix.mjs";
import { register } from "../support/formats/providers.mjs";
import { startReplay } from "../support/formats/replay.mjs";
import { lineOf, sort, writeReport } from "../support/formats/report.mjs";
import { World } from "../support/world.mjs";

const all = exchanges(...DIALECTS);

describe(`${all.length} ${source}, ${clientNames.length} client formats`, () => {
  let replay;
  let world;
  let results = [];
  let unregistered;
  before(async () => {
    replay = await startReplay(all);
    world = new World(await startWorkerd(), { stop: () => replay.stop() });
    unregistered = await register(world, replay, all);
    const cases = all.flatMap((exchange, at) => clientNames.filter((client) => asks(client, exchange)).map((client) => [world, exchange, client, at]));
    results = await runAll(cases, runCase);
    const { passed, explained, failed } = writeReport(source, results);
    console.log(`formats: ${results.length} cases: ${passed.length} pass, ${explained.length} explained, ${failed.length} fail (target/formats-report.md)`);
  });
  after(() => world.stop());

  test("every provider of the corpus can be registered", () => assert.deepEqual([...unregistered], []));

  for (const dialect of DIALECTS.filter((one) => all.some((exchange) => exchange.dialect === one))) {
    for (const client of clientNames.filter((one) => asks(one, { dialect }))) {
      test(`${dialect} for ${client}`, () => {
        const { failed } = sort(results.filter((result) => result.exchange.dialect === dialect && result.client === client));
        assert.ok(failed.length === 0, `${failed.length} differ:\n${failed.slice(0, 20).map(lineOf).join("\n")}`);
      });
    }
  }

  test("providers were asked as they are to be asked", () => assert.deepEqual(replay.faults, []));

  test("every explanation explains something", { skip: !recorded || !complete }, () => {
    assert.deepEqual(EXPLAINED.filter((entry) => !used.has(entry)), []);
  });
});
