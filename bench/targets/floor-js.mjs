// The floor: what one request through a Worker costs when the Worker looks at nothing.

import { join } from "node:path";
import { bench } from "../lib/files.mjs";
import { startWorker } from "../lib/workerd.mjs";

export const id = "floor-js";
export const title = "JS passthrough";
export const note = "a Worker that looks at nothing: the platform's floor";
export const cold = true;

function passthrough(name, upstream, answers) {
  return startWorker(name, {
    modules: [join(bench, "floor-js.mjs")],
    bindings: { UPSTREAM: upstream },
    request: { path: "/v1/chat/completions", model: "bench-model", answers },
  });
}

export async function start({ mock }) {
  const running = await passthrough(id, `${mock.url}/v1/chat/completions`);
  const { port, pid, request, stop } = await passthrough(`${id}-messages`, `${mock.url}/v1/messages`, "messages");
  return { ...running, translated: { port, pid, request }, stop: () => Promise.all([running.stop(), stop()]) };
}

/** One process: the other would take its share of the core. */
export function fresh({ mock }) {
  return passthrough(id, `${mock.url}/v1/chat/completions`);
}
