// Several processes as isolates of one gateway: `nodes[0]` keeps the data (objects, KV, D1, queue), the
// others use it through its door (scripts/lib/workerd-config.mjs). Each is a bare workerd that a test may
// kill and start again by itself, on the same port and the same data.
//
//   const cluster = await startCluster({ processes: 4, redeliver: true });
//   cluster.nodes[2].kill();   await cluster.nodes[2].start();
//
// It answers as the gateways of gateway.mjs do (url, keys, log(), rows(sql), stop()), its url being that of
// nodes[0]. `redeliver`: each batch of the queue reaches the consumer twice.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import workerd from "workerd";
import { newKey } from "../../scripts/lib/keys.mjs";
import { readWrangler, workerdConfig } from "../../scripts/lib/workerd-config.mjs";
import { eventually, freePort, root, scratch } from "./common.mjs";
import { assertNoLeak, healthy, readD1 } from "./gateway.mjs";

// The gateway, its consumer given every batch twice.
const TWICE = `
import gateway from "./gateway.mjs";
export { Account, Catalog } from "./gateway.mjs";
export default {
  fetch: gateway.fetch,
  async queue(batch, env, ctx) {
    await gateway.queue(batch, env, ctx);
    await gateway.queue(batch, env, ctx);
  },
};
`;

export async function startCluster({ processes = 4, redeliver = false, vars = {} } = {}) {
  const state = scratch();
  const [door, disk] = ["door", "do"].map((name) => join(state, name));
  for (const folder of [door, disk]) mkdirSync(folder);
  const secrets = { SLUICE_MANAGEMENT_KEY: newKey(), SLUICE_MASTER_KEY: Buffer.alloc(32, 7).toString("base64") };
  const wrangler = readWrangler(join(root, "wrangler.toml"));
  const shared = { root, wrangler: { ...wrangler, vars: { ...wrangler.vars, ...vars } }, host: "127.0.0.1", secrets: Object.keys(secrets) };
  const nodes = [];
  for (let n = 0; n < processes; n++) {
    const [port, file] = [await freePort(), join(state, `workerd-${n}.capnp`)];
    const build = n === 0 && redeliver ? twice(state) : join(root, "build");
    writeFileSync(file, workerdConfig({ ...shared, build, file, port, ...(n === 0 ? { disk, door } : { through: door }) }));
    nodes.push(new Node(file, `http://127.0.0.1:${port}`, secrets, n === 0 ? door : null));
    await nodes[n].start();
  }
  const [{ url }] = nodes;
  const made = await fetch(`${url}/v1/keys`, {
    method: "POST", body: '{"name":"test"}',
    headers: { authorization: `Bearer ${secrets.SLUICE_MANAGEMENT_KEY}`, "content-type": "application/json" },
  });
  const log = () => nodes.map((node) => node.log).join("");
  return {
    name: "cluster", url, nodes, log,
    keys: { management: secrets.SLUICE_MANAGEMENT_KEY, inference: (await made.json()).key },
    rows: (sql) => readD1(state, sql),
    async stop() {
      await Promise.all(nodes.map((node) => node.kill()));
      rmSync(state, { recursive: true, force: true });
      assertNoLeak(log());
    },
  };
}

function twice(state) {
  const build = join(state, "build");
  mkdirSync(build);
  cpSync(join(root, "build", "worker.mjs"), join(build, "gateway.mjs"));
  cpSync(join(root, "build", "sluice.wasm"), join(build, "sluice.wasm"));
  writeFileSync(join(build, "worker.mjs"), TWICE);
  return build;
}

class Node {
  log = "";
  #config;
  #env;
  #door;
  #process = null;

  constructor(config, url, env, door) {
    Object.assign(this, { url });
    this.#config = config;
    this.#env = env;
    this.#door = door;
  }

  async start() {
    // The sockets of a killed process are still there, and in the way.
    if (this.#door !== null) rmSync(this.#door, { recursive: true }), mkdirSync(this.#door);
    const child = (this.#process = spawn(workerd.default, ["serve", "--experimental", this.#config], { env: this.#env, stdio: ["ignore", "pipe", "pipe"] }));
    const end = () => child.kill("SIGKILL");
    process.once("exit", end);
    child.ended = once(child, "exit").finally(() => process.removeListener("exit", end));
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => { this.log += text; });
    // A test that fails before it stops its cluster must not wait for it.
    for (const handle of [child, child.stdout, child.stderr]) handle.unref();
    await eventually(`${this.url} is up`, () => {
      if (child.exitCode !== null) throw new Error(`workerd did not start:\n${this.log}`);
      return healthy(this.url);
    }, 30);
  }

  // As by a machine that is too busy: nothing is answered, and nothing is closed, until SIGCONT.
  signal(name) {
    this.#process.kill(name);
  }

  // kill -9.
  async kill() {
    const child = this.#process;
    if (child === null) return;
    this.#process = null;
    child.ref();
    child.kill("SIGKILL");
    await child.ended;
  }
}
