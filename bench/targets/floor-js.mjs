// The floor: what one request through a Worker costs when the Worker looks at nothing.

import { join } from "node:path";
import { bench } from "../lib/files.mjs";
import { startWorker } from "../lib/workerd.mjs";

export const id = "floor-js";
export const title = "JS passthrough";
export const note = "a Worker that looks at nothing: the platform's floor";
export const cold = true;

export function start({ mock }) {
  return startWorker(id, {
    modules: [join(bench, "floor-js.mjs")],
    bindings: { UPSTREAM: mock.url + "/v1/chat/completions" },
    request: { path: "/v1/chat/completions", model: "bench-model" },
  });
}
