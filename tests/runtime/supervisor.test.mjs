// `npm run serve` as its operator and its neighbours see it: files, ports, processes, keys. The probe
// worker plays the gateway.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32 } from "node:zlib";
import { demoRows } from "../../scripts/lib/demo-catalog.mjs";
import { checksum, newKey } from "../../scripts/lib/keys.mjs";
import { alive } from "../../scripts/lib/processes.mjs";
import { parseVars, switchedOnBy } from "../../scripts/lib/settings.mjs";
import { trust } from "../../scripts/lib/trust.mjs";
import { eventually, freePort, scratch, support } from "./support/runtimes.mjs";

const states = [];
const supervisors = new Set();
after(async () => {
  for (const child of supervisors) child.kill("SIGKILL");
  for (const state of states) {
    for (const name of ["gateway.pid", "demo.pid"]) if (existsSync(join(state, name)) && alive(pidOf(state, name))) process.kill(pidOf(state, name), "SIGKILL");
    rmSync(state, { recursive: true, force: true });
  }
});

function newState() {
  const state = scratch();
  states.push(state);
  return state;
}

// Starts `serve` on the probe; answers when it is ready, or when it ended, with its output.
async function serve(state, port, env = {}) {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [join(support, "serve.mjs")], {
    env: { PATH, HOME, PORT: String(port), SLUICE_STATE: state, SLUICE_DEMO: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  supervisors.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => { output += chunk; });
  const exited = once(child, "exit").then(([code]) => { supervisors.delete(child); return code; });
  let code;
  exited.then((value) => { code = value; });
  await eventually("ready or ended", () => (code !== undefined || /^ready /m.test(output) ? true : undefined), 30);
  return { child, exited, output: () => output, state, url: `http://127.0.0.1:${port}` };
}

async function stop(running, signal = "SIGTERM") {
  running.child.kill(signal);
  return running.exited;
}

const pidOf = (state, name = "gateway.pid") => Number(readFileSync(join(state, name), "utf8"));
const readState = (state, name) => JSON.parse(readFileSync(join(state, name), "utf8"));
const get = async (url, key) => (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status;

async function portIsFree(port) {
  const server = createServer().listen(port, "127.0.0.1");
  const free = await Promise.race([once(server, "listening").then(() => true), once(server, "error").then(() => false)]);
  server.close();
  return free;
}

test("a first start makes keys that work, in files only the owner reads", async () => {
  const [state, port] = [newState(), await freePort()];
  const running = await serve(state, port);
  const credentials = readState(state, "credentials.json");
  assert.deepEqual(Object.keys(credentials), ["base_url", "management_key", "inference_key"]);
  assert.equal(credentials.base_url, `http://127.0.0.1:${port}/v1`);
  assert.match(credentials.management_key, /^sk-sl-v1-[0-9A-Za-z]{49}$/);
  assert.equal(await get(`${credentials.base_url}/key`, credentials.inference_key), 200);
  const secrets = readState(state, "secrets.json");
  assert.equal(secrets.management_key, credentials.management_key);
  assert.equal(Buffer.from(secrets.master_key, "base64").length, 32);
  for (const name of ["credentials.json", "secrets.json", "workerd.capnp"]) assert.equal(statSync(join(state, name)).mode & 0o777, 0o600, name);
  const config = readFileSync(join(state, "workerd.capnp"), "utf8");
  for (const secret of Object.values(secrets)) assert.ok(!config.includes(secret), "the config holds a secret");
  assert.match(readFileSync(`/proc/${pidOf(state)}/cmdline`, "utf8"), /workerd\0serve/);
  assert.equal(await stop(running), 0);
});

test("a later start is quick and keeps keys and data; the base URL follows the port", async () => {
  const state = newState();
  await stop(await serve(state, await freePort()));
  const before = readState(state, "credentials.json");
  const port = await freePort();
  const started = Date.now();
  const running = await serve(state, port);
  assert.ok(Date.now() - started < 3000, `took ${Date.now() - started} ms`);
  assert.deepEqual(readState(state, "credentials.json"), { ...before, base_url: `http://127.0.0.1:${port}/v1` });
  await stop(running);
});

test("an inference key that is no longer known is replaced, and that is said", async () => {
  const state = newState();
  await stop(await serve(state, await freePort()));
  const before = readState(state, "credentials.json");
  rmSync(join(state, "do"), { recursive: true });
  const running = await serve(state, await freePort());
  const after = readState(state, "credentials.json");
  assert.notEqual(after.inference_key, before.inference_key);
  assert.equal(after.management_key, before.management_key);
  assert.match(running.output(), /inference key is no longer accepted; making a new one/);
  assert.equal(await get(`${after.base_url}/key`, after.inference_key), 200);
  await stop(running);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  test(`${signal} ends everything within seconds, open streams or not`, async () => {
    const [state, port] = [newState(), await freePort()];
    const running = await serve(state, port, { SLUICE_DEMO: "1" });
    const stream = await fetch(`${running.url}/forever`);
    const reader = stream.body.getReader();
    await reader.read();
    const pids = [pidOf(state), pidOf(state, "demo.pid")];
    const started = Date.now();
    assert.equal(await stop(running, signal), 0);
    assert.ok(Date.now() - started < 5000, `took ${Date.now() - started} ms`);
    assert.deepEqual(pids.filter(alive), []);
    assert.ok(await portIsFree(port));
    for (const name of ["gateway.pid", "demo.pid", "supervisor.pid"]) assert.ok(!existsSync(join(state, name)), name);
    await reader.cancel().catch((error) => assert.match(error.message, /terminated/));
  });
}

test("a crashed gateway is started again", async () => {
  const [state, port] = [newState(), await freePort()];
  const running = await serve(state, port);
  const { inference_key } = readState(state, "credentials.json");
  const first = pidOf(state);
  process.kill(first, "SIGKILL");
  await eventually("another gateway answers", async () => {
    if (pidOf(state) === first) return undefined;
    return (await get(`${running.url}/v1/key`, inference_key).catch(() => undefined)) === 200 || undefined;
  });
  assert.match(running.output(), /the gateway ended \(SIGKILL\); starting it again/);
  await stop(running);
});

test("a gateway and a demo left behind by a killed supervisor are ended by the next start", async () => {
  const [state, port] = [newState(), await freePort()];
  const first = await serve(state, port, { SLUICE_DEMO: "1" });
  const orphan = pidOf(state);
  first.child.kill("SIGKILL");
  await first.exited;
  assert.ok(alive(orphan), "the gateway outlives its supervisor, else this tests nothing");
  const second = await serve(state, port, { SLUICE_DEMO: "1" });
  assert.match(second.output(), new RegExp(`ending the gateway that an earlier start left running \\(process ${orphan}\\)`));
  assert.ok(!alive(orphan));
  assert.notEqual(pidOf(state), orphan);
  await stop(second);
});

test("a process that merely has the pid in our file is left alone", async () => {
  const [state, port] = [newState(), await freePort()];
  const stranger = spawn("sleep", ["60"]);
  writeFileSync(join(state, "gateway.pid"), `${stranger.pid}\n`);
  writeFileSync(join(state, "supervisor.pid"), `${stranger.pid}\n`);
  const running = await serve(state, port);
  assert.match(running.output(), /^ready /m);
  assert.ok(alive(stranger.pid));
  stranger.kill();
  await stop(running);
});

test("another program on the port gives one line with the fix", async () => {
  const [state, port] = [newState(), await freePort()];
  const other = createServer((_, response) => response.end("other")).listen(port, "127.0.0.1");
  await once(other, "listening");
  const running = await serve(state, port);
  assert.equal(await running.exited, 1);
  assert.equal(running.output(), `sluice: port ${port} is in use by another program; choose another: PORT=${port + 1} npm run serve\n`);
  assert.equal(await (await fetch(running.url)).text(), "other");
  other.close();
});

test("a second start on the same state is refused and harms nothing", async () => {
  const [state, port] = [newState(), await freePort()];
  // The supervisor is known by its script's name; the test's is `serve.mjs` too.
  const first = await serve(state, port);
  const second = await serve(state, await freePort());
  assert.equal(await second.exited, 1);
  assert.match(second.output(), /^sluice: Sluice is already running on .* \(process \d+\); stop it first/);
  assert.equal((await fetch(`${first.url}/health`)).status, 200);
  assert.equal(await stop(first), 0);
});

test("a port that is none gives one line", async () => {
  const running = await serve(newState(), "eighty");
  assert.equal(await running.exited, 1);
  assert.equal(running.output(), 'sluice: PORT is "eighty"; set it to a number from 1 to 65535, e.g. PORT=8788\n');
});

const adminRows = async (running) => {
  const { management_key } = readState(running.state, "credentials.json");
  const response = await fetch(`${running.url}/v1/admin/`, { headers: { authorization: `Bearer ${management_key}` } });
  return (await response.json()).data;
};

test("the demo registers three providers of three models, and is removed when it is not wanted", async () => {
  const [state, port] = [newState(), await freePort()];
  const first = await serve(state, port, { SLUICE_DEMO: "" });
  const ports = readState(state, "demo.json");
  const rows = await adminRows(first);
  assert.deepEqual(rows.map((row) => row.name), demoRows(ports).map(([path]) => path).sort());
  const provider = rows.find((row) => row.name === "admin/providers/demo-fast").value;
  assert.deepEqual([provider.allow_private_network, provider.base_url], [true, `http://127.0.0.1:${ports["demo-fast"]}/v1`]);
  const { endpoints } = rows.find((row) => row.name === "admin/models/demo/chat-small").value;
  assert.deepEqual(endpoints.map((e) => [e.provider, e.weight, e.pricing.prompt]), [
    ["demo-cheap", 0, "0.00000005"], ["demo-balanced", 1, "0.00000015"], ["demo-fast", 0, "0.0000005"],
  ]);
  await stop(first);

  const second = await serve(state, port, { SLUICE_DEMO: "" });
  assert.deepEqual(readState(state, "demo.json"), ports, "a restart keeps the demo's ports");
  await stop(second);

  const third = await serve(state, port, { SLUICE_DEMO: "0" });
  assert.deepEqual(await adminRows(third), []);
  assert.ok(!existsSync(join(state, "demo.json")));
  await stop(third);
});

test("the demo answers any prompt, whole and streamed, with usage, tools and schemas", async () => {
  const [state, port] = [newState(), await freePort()];
  const running = await serve(state, port, { SLUICE_DEMO: "1" });
  const ports = readState(state, "demo.json");
  const ask = (provider, body) =>
    fetch(`http://127.0.0.1:${ports[provider]}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer demo" },
      body: JSON.stringify({ model: "demo/chat-small", messages: [{ role: "user", content: "Is anybody there?" }], ...body }),
    });

  const whole = await (await ask("demo-fast", {})).json();
  assert.match(whole.choices[0].message.content, /demo-fast.*Is anybody there\?/);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

  const stream = await (await ask("demo-fast", { stream: true, stream_options: { include_usage: true } })).text();
  const chunks = stream.split("\n\n").filter((line) => line.startsWith("data: {")).map((line) => JSON.parse(line.slice(6)));
  assert.match(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), /demo-fast.*Is anybody there\?/);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  assert.ok(stream.trimEnd().endsWith("data: [DONE]"));

  const short = await (await ask("demo-fast", { max_tokens: 5 })).json();
  assert.equal(short.choices[0].finish_reason, "length");
  assert.equal(short.choices[0].message.content.length, 20);

  const parameters = { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } };
  const tool = await (await ask("demo-fast", { tools: [{ type: "function", function: { name: "weather", parameters } }] })).json();
  assert.equal(tool.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(JSON.parse(tool.choices[0].message.tool_calls[0].function.arguments), { city: "demo", days: 1 });

  const schema = await (await ask("demo-fast", { response_format: { type: "json_schema", json_schema: { name: "s", schema: parameters } } })).json();
  assert.deepEqual(JSON.parse(schema.choices[0].message.content), { city: "demo", days: 1 });

  const timed = async (provider) => {
    const started = performance.now();
    await (await ask(provider, { max_tokens: 20 })).text();
    return performance.now() - started;
  };
  assert.ok((await timed("demo-fast")) < (await timed("demo-balanced")));
  await stop(running);
});

test("npm killed outright takes everything with it, and a start right after that works", async () => {
  const [state, port] = [newState(), await freePort()];
  // A stand-in for npm: it runs its script in a shell, as npm does, and is killed.
  const program = `require("node:child_process").spawn("sh", ["-c", ${JSON.stringify(`"${process.execPath}" "${join(support, "serve.mjs")}"; exit $?`)}], { stdio: "ignore" })`;
  const npm = spawn(process.execPath, ["-e", program], {
    env: { ...process.env, npm_lifecycle_event: "serve", PORT: String(port), SLUICE_STATE: state, SLUICE_DEMO: "1" },
    stdio: "ignore",
  });
  supervisors.add(npm);
  await eventually("ready", () => existsSync(join(state, "credentials.json")) || undefined);
  const pids = ["gateway.pid", "demo.pid", "supervisor.pid"].map((name) => pidOf(state, name));
  npm.kill("SIGKILL");
  const second = await serve(state, port);
  assert.match(second.output(), /^ready /m);
  assert.deepEqual(pids.filter(alive), []);
  await stop(second);
});

test("keys carry the checksum the gateway checks", () => {
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  for (let i = 0; i < 100; i++) {
    const key = newKey();
    assert.match(key, /^sk-sl-v1-[0-9A-Za-z]{49}$/);
    const value = [...key.slice(-6)].reduce((sum, digit) => sum * 62 + digits.indexOf(digit), 0);
    assert.equal(value, crc32(key.slice(0, -6)));
  }
  assert.equal(checksum(""), "000000");
});

test("the authorities of file and folder are trusted, each once", { skip: process.platform !== "linux" }, () => {
  const at = newState();
  const path = (name) => join(at, name);
  const certificate = (text) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`;
  mkdirSync(path("folder"));
  writeFileSync(path("bundle"), `# one\n${certificate("one")}\n${certificate("two")}\n`);
  writeFileSync(path("folder/0123abcd.0"), certificate("two"));
  writeFileSync(path("folder/0123abcd.1"), certificate("three"));
  writeFileSync(path("folder/other.pem"), certificate("four"));
  symlinkSync("/nowhere", path("folder/00000000.0"));
  const out = path("out");
  const system = { files: [path("nowhere"), path("bundle"), path("folder/other.pem")], folders: [path("folder"), path("nowhere")] };
  const written = (env) => {
    rmSync(out, { force: true });
    assert.deepEqual(trust(out, env, system), { SSL_CERT_FILE: out });
    return readFileSync(out, "utf8").match(/\w+(?=\n-----END)/g);
  };
  assert.deepEqual(written({}), ["one", "two", "three"]);
  assert.deepEqual(written({ SSL_CERT_FILE: path("bundle") }), ["one", "two"]);
  assert.deepEqual(written({ SSL_CERT_DIR: `${path("nowhere")}:${path("folder")}` }), ["two", "three"]);
  assert.deepEqual(written({ SSL_CERT_FILE: path("bundle"), SSL_CERT_DIR: path("folder") }), ["one", "two", "three"]);
  rmSync(out);
  const nothing = { SSL_CERT_FILE: path("nowhere"), SSL_CERT_DIR: path("nowhere") };
  assert.deepEqual(trust(out, nothing, system), nothing);
  assert.deepEqual(trust(out, {}, { files: [], folders: [] }), {});
  assert.equal(existsSync(out), false);
});

test(".dev.vars is read as wrangler reads it", () => {
  const source = 'A=1\n# B=2\nexport C = three words \nD="quo\\"ted#\\n2"\nE=\'si#ngle\'\nF=x # comment\n\nnonsense\nG=\n';
  assert.deepEqual(parseVars(source), { A: "1", C: "three words", D: 'quo\\"ted#\n2', E: "si#ngle", F: "x", G: "" });
});

test("a provider is switched on by the variables that its row names", () => {
  const plain = { base_url: "https://p.example", api_key_env: ["A", "B"] };
  const azure = { api_key_env: ["A"], env: { base_url: ["URL"], resource_name: ["NAME"], client_secret: ["SECRET"] } };
  const cloud = { api_key_env: ["A"], env: { service_account: ["JSON"], access_key_id: ["ID"], secret_access_key: ["SECRET"] } };
  const local = { base_url: "http://localhost:1", quirks: ["keyless"], api_key_env: ["A"], env: { base_url: ["URL"] } };
  for (const [row, variables, expected] of [
    [plain, "", ""], [plain, "B", "B"], [plain, "A B", "A B"], [plain, "URL", ""],
    [azure, "A", ""], [azure, "URL", ""], [azure, "A URL", "A URL"], [azure, "A NAME", "A NAME"],
    [cloud, "ID SECRET", ""], [cloud, "JSON", "JSON"], [cloud, "A", "A"],
    [local, "A", ""], [local, "URL", "URL"], [local, "A URL", "A URL"],
  ]) {
    const env = Object.fromEntries(variables.split(" ").map((name) => [name, "set"]));
    assert.equal(switchedOnBy(row, env).join(" "), expected, `${JSON.stringify(row)} ${variables}`);
  }
});
