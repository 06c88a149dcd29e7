// P10: prompts, answers and secrets appear where the client asked for them and nowhere else: in no log
// line, error, record, list or export, and not in the state folder either.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { answers, fails, reset, streams } from "../support/fake-provider.mjs";
import { ask, chunk, completion, data, wholeStream } from "../support/chat.mjs";
import { ANSWER, CREDENTIAL, PROMPT, scratch } from "../support/common.mjs";
import { leaks, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

test("nothing that is private is written or told", async () => {
  const state = scratch();
  const world = await startWorld(startWorkerd, { state });
  const { inference, management } = world.gateway.keys;
  const told = [];
  const tell = (answer) => told.push(answer.text, JSON.stringify([...answer.headers]));

  // Providers that repeat what they were sent, as some do in errors.
  const echo = (status) => (exchange) => fails(status, {}, `Incorrect API key provided: ${exchange.headers.authorization}. Bearer ${CREDENTIAL}-fake-1 at http://10.0.0.7:8080/x`)(exchange);
  const broken = [fails(500), echo(401), "dead", answers(`<html>${CREDENTIAL}`), echo(400), echo(429)];
  for (const behaviour of broken) {
    const model = await world.model([behaviour]);
    for (const stream of [false, true]) tell(await world.chat(ask(model, { stream, user: "u", session_id: "s" })));
  }
  for (const body of [`{"model":"x","messages":[{"role":"user","content":"${PROMPT}"`, ask("x", { messages: [{ role: "wizard", content: PROMPT }] }), ask("test/none", { temperature: PROMPT }), { ...ask("x"), provider: { order: 5 } }]) tell(await world.chat(body));
  for (const key of [`${inference}x`, management, CREDENTIAL]) tell(await world.chat(ask("x"), { key }));

  // Good ones too: their answers are the client's, the rest is not.
  const ids = [];
  for (const behaviour of [answers(completion()), streams(wholeStream()), streams([data(chunk({ content: ANSWER })), 200, reset])]) {
    const model = await world.model(behaviour);
    for (const mode of ["cost", "native"]) {
      const { response, id } = await world.open(ask(model), { headers: { "x-sluice-stream": mode } });
      await response.text().catch(() => "torn");
      ids.push(id);
    }
    const whole = await world.chat(ask(model));
    ids.push(whole.headers.get("x-generation-id"));
  }
  for (const id of ids.filter((id) => id !== null)) {
    await world.row(id);
    tell(await world.request("GET", `/v1/generation?id=${id}`, { key: inference }));
  }
  const lists = ["/keys", "/admin/providers", "/admin/providers/fake-1", "/admin/models", "/admin/catalog/export", "/activity", "/generations", "/admin/dead-letters", "/models", "/providers"];
  for (const path of lists) {
    const answer = await world.admin("GET", path);
    assert.equal(answer.status, 200, path);
    tell(answer);
  }
  tell(await world.request("GET", "/v1/key", { key: inference }));

  assert.ok(told.length > 60 && told.some((text) => text.includes("fake-1")), "there is something to search");
  for (const text of told) assert.deepEqual(leaks(text), [], text.slice(0, 500));
  for (const text of told) assert.ok(!text.includes("10.0.0.7"), `a provider's host in ${text.slice(0, 500)}`);

  // The disk: what clients and operators hold in the clear is in two files of mode 0600, and nothing else.
  await world.fake.stop();
  const log = world.gateway.log();
  await world.gateway.killAll();
  const found = [];
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (["secrets.json", "credentials.json"].includes(entry.name)) assert.equal(statSync(path).mode & 0o777, 0o600, path);
      else found.push(...leaks(readFileSync(path).toString("latin1")).map((word) => `${path}: ${word}`));
    }
  };
  walk(state);
  assert.deepEqual(found, []);
  assert.deepEqual(leaks(log), []);
  rmSync(state, { recursive: true, force: true });
});
