// POST /v1/route tells whom a chat would be sent to, on the built worker, and sends it to nobody.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, completion } from "../support/chat.mjs";
import { answers } from "../support/fake-provider.mjs";
import { startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

let world;
let model;

before(async () => {
  world = await startWorld(startWorkerd);
  model = await world.model([answers(completion()), answers(completion()), answers(completion())]);
});
after(() => world.stop());

const route = async (body, query = "", key = world.gateway.keys.inference) => {
  const response = await fetch(`${world.base}/route${query}`, {
    method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
};

test("the plan has candidates, reasons and a seed that draws it again, and nobody is called", async () => {
  const asked = { ...ask(`${model}:floor`), provider: { ignore: ["fake-2"] } };
  const { status, body } = await route(asked);
  assert.equal(status, 200);
  assert.deepEqual(body.candidates.map((one) => one.provider), ["fake-1", "fake-3"]);
  assert.deepEqual(body.excluded, [{ model, tag: "fake-2/2", rule: "provider.ignore" }]);
  assert.equal(body.candidates[0].pricing.prompt, "0.000001");
  assert.match(body.seed, /^[0-9a-f]{16}$/);
  assert.deepEqual((await route(asked, `?seed=${body.seed}`)).body, body);
  for (const n of [1, 2, 3]) assert.equal(world.received(model, n).length, 0);
});

test("who cannot be served is told so; what is wrong is refused as inference refuses it", async () => {
  const none = await route({ ...ask(model), provider: { only: ["nobody"] } });
  assert.deepEqual([none.status, none.body.candidates, none.body.refusal.status], [200, [], 404]);
  assert.equal((await route({ model })).status, 400);
  assert.equal((await route(ask("test/none"))).status, 400);
  assert.equal((await route(ask(model), "", world.gateway.keys.management)).status, 403);
});
