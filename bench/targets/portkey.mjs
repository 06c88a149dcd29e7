// Portkey's gateway as published on npm, once as its users start it (Node) and once bundled for workerd, which its
// sources support and its package does not carry: the app is cut out of the server file, before it begins to listen.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { bench, root, work } from "../lib/files.mjs";
import { accepts, freePort, run, start, stop, until } from "../lib/process.mjs";
import { startWorker } from "../lib/workerd.mjs";

const server = join(bench, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");
const node = join(root, "node_modules", ".bin", "node");

function install() {
  if (!existsSync(server)) run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"], { cwd: bench });
}

function version() {
  return JSON.parse(readFileSync(join(server, "..", "..", "package.json"), "utf8")).version;
}

function request(mock, provider = "openai") {
  return {
    path: "/v1/chat/completions",
    model: "bench-model",
    headers: ["authorization: Bearer sk-bench", `x-portkey-provider: ${provider}`, `x-portkey-custom-host: ${mock.url}/v1`],
  };
}

const env = (mock) => ({ NODE_ENV: "production", TRUSTED_CUSTOM_HOSTS: `localhost,127.0.0.1,${new URL(mock.url).host}` });

export const portkeyNode = {
  id: "portkey-node",
  title: "Portkey on Node",
  note: "@portkey-ai/gateway from npm, Node 22, `--headless`",
  cold: true,
  prepare: install,
  async start({ mock }) {
    const port = await freePort();
    const child = start("portkey-node", node, [server, `--port=${port}`, "--headless"], { role: "target", env: { ...process.env, ...env(mock) } });
    await until(child, "portkey-node", () => accepts(port));
    return { port, pid: child.pid, request: request(mock), translated: { request: request(mock, "anthropic") }, version: version(), stop: () => stop(child) };
  },
};

const bundle = join(work("build", "portkey-workerd"), "worker.mjs");

export const portkeyWorkerd = {
  id: "portkey-workerd",
  title: "Portkey in workerd",
  note: "the same app bundled for workerd",
  cold: true,
  async prepare() {
    install();
    await build({
      entryPoints: [server],
      outfile: bundle,
      bundle: true,
      minify: true,
      format: "esm",
      platform: "node",
      conditions: ["workerd", "worker"],
      // Packages in the older module format ask for Node's modules by `require`, which a worker has by this name only.
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire("/");' },
      define: { "process.env.NODE_ENV": '"production"' },
      logLevel: "error",
      plugins: [appOnly],
    });
  },
  async start({ mock }) {
    const running = await startWorker("portkey-workerd", {
      modules: [bundle],
      bindings: env(mock),
      request: request(mock),
    });
    return { ...running, translated: { request: request(mock, "anthropic") }, version: version() };
  },
};

/** The server file up to where it listens, its Hono app exported, and the packages only its Node side uses left out. */
const appOnly = {
  name: "app-only",
  setup(builder) {
    builder.onLoad({ filter: /start-server\.js$/ }, () => {
      const source = readFileSync(server, "utf8").replace(/^#!.*/, "");
      const end = source.search(/const\{injectWebSocket:\w+,upgradeWebSocket:\w+\}=\w+\(\{app:\w+\}\)/);
      if (end < 0) throw new Error("the place where the server starts was not found in start-server.js");
      const app = source.slice(end).match(/\(\{app:(\w+)\}\)/)[1];
      return { contents: `${source.slice(0, end)}export default ${app};`, resolveDir: join(server, "..") };
    });
    builder.onResolve({ filter: /^(@hono\/node-server|@hono\/node-ws|ws|ioredis)$/ }, ({ path }) => ({ path, namespace: "left-out" }));
    builder.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({
      contents: "export default class {}; export const serve = null; export const createNodeWebSocket = null;",
    }));
    // Node's own modules are the runtime's, under the one name it knows them by.
    builder.onResolve({ filter: /^(node:)?(https?|fs|fs\/promises|path|url|crypto|stream|buffer|util|events|net|tls|os|zlib|process)$/ }, ({ path }) => ({
      path: path.startsWith("node:") ? path : `node:${path}`,
      external: true,
    }));
  },
};
