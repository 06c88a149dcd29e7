// The second floor: the same passthrough written with the `worker` crate, body streamed.

import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { bench, cargoTarget, work } from "../lib/files.mjs";
import { run } from "../lib/process.mjs";
import { cargo } from "../lib/tools.mjs";
import { startWorker } from "../lib/workerd.mjs";

export const id = "floor-wasm";
export const title = "`worker` crate passthrough";
export const note = "the same in Rust with the `worker` crate, bodies streamed";
export const cold = true;

const out = work("build", id);

/** Compiles the crate and binds it with the gateway's own builder. */
export async function prepare() {
  cargo("build", "--release", "--target", "wasm32-unknown-unknown", "-p", id);
  const wasm = join(cargoTarget, "wasm32-unknown-unknown", "release", "floor_wasm.wasm");
  run("cargo", ["run", "--quiet", "--locked", "-p", "xtask", "--", "bindgen", wasm, out]);
  copyFileSync(join(bench, "floor-wasm", "entry.mjs"), join(out, "entry.mjs"));
  await build({ entryPoints: [join(out, "entry.mjs")], outfile: join(out, "worker.mjs"), bundle: true, format: "esm", external: ["*.wasm"], logLevel: "error" });
}

export function start({ mock }) {
  return startWorker(id, {
    modules: ["worker.mjs", "sluice_bg.wasm"].map((name) => join(out, name)),
    bindings: { UPSTREAM: `${mock.url}/v1/chat/completions` },
    request: { path: "/v1/chat/completions", model: "bench-model" },
  });
}
