// The worker's entry: the crate's own handler and nothing else.

import * as wasm from "./sluice.js";

export default {
  fetch: (request, env, context) => wasm.fetch(request, env, context),
};
