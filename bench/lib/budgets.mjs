// `npm run bench -- --budgets`: what budgets ask of the Account object. How many requests of a steady 50 a second on one
// key wait for it before they go to the provider, and how many operations a second one object takes: slices asked for
// (lease) and totals reported (settle), by RPC, as isolates do (bench/tools/driver.mjs). Exit code 1 when a goal is missed.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newKey } from "../../scripts/lib/keys.mjs";
import { readWrangler, workerdConfig } from "../../scripts/lib/workerd-config.mjs";
import { admin, limit, prepared, request } from "../targets/sluice.mjs";
import { bench, root, work } from "./files.mjs";
import { accepts, freePort, start, stop, until } from "./process.mjs";
import { startMock } from "./tools.mjs";
import { workerd } from "./workerd.mjs";

const RATE = 50;
const MOST_ASKING = 0.05;
const LEAST_OPERATIONS = 500;
// Isolates that ask the object at the same time.
const SESSIONS = [1, 8];

export async function budgets({ seconds }) {
  const asked = await asking(seconds);
  const operations = await driving(Math.max(2, seconds / 4));
  const reached = [asked.share <= MOST_ASKING, operations.every(({ perSecond }) => perSecond >= LEAST_OPERATIONS)];
  const word = (good) => (good ? "reached" : "NOT reached");
  const counts = Object.entries(asked.counts).map(([what, n]) => `${what} ${n}`).join(", ");
  console.log(`requests that asked the Account object first, at ${RATE}/s on one key: ${(100 * asked.share).toFixed(1)} % (${counts}); goal <= ${100 * MOST_ASKING} %, ${word(reached[0])}`);
  for (const { sessions, perSecond, perCpuSecond, meters } of operations) {
    console.log(`operations of one Account object, ${sessions} at a time, over ${meters} meters each: ${Math.round(perSecond)}/s, ${Math.round(perCpuSecond)} a second of CPU`);
  }
  console.log(`goal >= ${LEAST_OPERATIONS}/s, ${word(reached[1])}`);
  return reached.every(Boolean) ? 0 : 1;
}

// A request each 20 ms, whether or not those before have been answered.
async function asking(seconds) {
  const mock = await startMock();
  const gateway = await prepared("sluice-asking", mock);
  await limit(gateway);
  const { path, model, headers } = request(gateway);
  const authorization = headers[0].slice("authorization: ".length);
  const call = async () => {
    const answer = await fetch(`http://127.0.0.1:${gateway.port}${path}`, {
      method: "POST", headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }] }),
    });
    const text = await answer.text();
    if (answer.status === 200) return answer.headers.get("x-sluice-budget") ?? "unsaid";
    process.stderr.write(`WRONG ANSWER: ${answer.status} ${text}\n`);
    return `status ${answer.status}`;
  };
  const calls = [];
  const begun = Date.now();
  for (let n = 0; n < RATE * seconds; n++) {
    calls.push(call());
    await sleep(Math.max(0, begun + ((n + 1) * 1000) / RATE - Date.now()));
  }
  const counts = {};
  for (const what of await Promise.all(calls)) counts[what] = (counts[what] ?? 0) + 1;
  await gateway.stop();
  await stop(mock.child);
  return { counts, share: 1 - (counts.lease ?? 0) / calls.length };
}

// What a process and its threads have used so far, at 100 ticks a second as Linux counts.
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

// The gateway's build with a driver as its entry, so that both are in one process, and nothing but RPC between them.
async function driving(seconds) {
  const folder = work("driver");
  const [build, disk, file] = ["build", "do", "workerd.capnp"].map((name) => join(folder, name));
  for (const old of [build, disk]) rmSync(old, { recursive: true, force: true }), mkdirSync(old);
  cpSync(join(root, "build", "worker.mjs"), join(build, "gateway.mjs"));
  cpSync(join(root, "build", "sluice.wasm"), join(build, "sluice.wasm"));
  cpSync(join(bench, "tools", "driver.mjs"), join(build, "worker.mjs"));
  const secrets = { SLUICE_MANAGEMENT_KEY: newKey(), SLUICE_MASTER_KEY: Buffer.alloc(32, 7).toString("base64") };
  const port = await freePort();
  writeFileSync(file, workerdConfig({ root, build, wrangler: readWrangler(join(root, "wrangler.toml")), file, disk, host: "127.0.0.1", port, secrets: Object.keys(secrets) }));
  const child = start("driver", workerd, ["serve", "--experimental", file], { role: "target", env: { ...process.env, ...secrets } });
  await until(child, "driver", () => accepts(port));
  const gateway = { port, credentials: { management_key: secrets.SLUICE_MANAGEMENT_KEY } };
  await admin(gateway, "POST", "keys", { name: "default" });
  const key = await limit(gateway);
  const results = [];
  for (const sessions of SESSIONS) {
    const before = cpuSeconds(child.pid);
    const answer = await fetch(`http://127.0.0.1:${port}/drive`, {
      method: "POST", body: JSON.stringify({ sessions, ms: seconds * 1000, accounts: [key, "workspace:default", "organization:default"] }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    const { operations, ms, meters } = await answer.json();
    results.push({ sessions, meters, perSecond: operations / (ms / 1000), perCpuSecond: operations / (cpuSeconds(child.pid) - before) });
  }
  await stop(child);
  return results;
}
