// A worker in bare `workerd serve`: no Node, no development server, nothing between the socket and the worker.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { work } from "./files.mjs";
import { accepts, freePort, start, stop, until } from "./process.mjs";

const require = createRequire(import.meta.url);
export const workerd = require("workerd").default;
export const workerdVersion = require("workerd/package.json").version;
const compatibilityDate = "2026-10-01";

function config({ modules, bindings, flags, port }) {
  const listed = modules.map((file) => {
    const kind = file.endsWith(".wasm") ? "wasm" : "esModule";
    return `(name = ${JSON.stringify(basename(file))}, ${kind} = embed ${JSON.stringify(basename(file))})`;
  });
  const bound = Object.entries(bindings).map(([name, text]) => `(name = "${name}", text = ${JSON.stringify(text)})`);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [${listed.join(", ")}],
      bindings = [${bound.join(", ")}],
      compatibilityDate = "${compatibilityDate}",
      compatibilityFlags = [${flags.map((flag) => JSON.stringify(flag)).join(", ")}],
      globalOutbound = "network",
    )),
    (name = "network", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`;
}

/** Starts a fresh process; `modules` are files, the worker's entry first. Ready means that the port accepts. */
export async function startWorker(name, { modules, bindings = {}, flags = [], request }) {
  const folder = work("worker", name);
  for (const file of modules) cpSync(file, join(folder, basename(file)));
  const port = await freePort();
  writeFileSync(join(folder, "config.capnp"), config({ modules, bindings, flags, port }));
  const child = start(name, workerd, ["serve", join(folder, "config.capnp")], { role: "target" });
  await until(child, name, () => accepts(port));
  return { port, pid: child.pid, request, size: size(modules), stop: () => stop(child) };
}

/** Bytes of a worker's modules, as they are and compressed one by one, as an upload is. */
export function size(modules) {
  const contents = modules.map((file) => readFileSync(file));
  const sum = (list) => list.reduce((total, content) => total + content.length, 0);
  return { raw: sum(contents), gzip: sum(contents.map((content) => gzipSync(content, { level: 9 }))) };
}
