import * as wasm from "../../build/bindgen/sluice.js";

// The wasm instance. A trap (not a panic: those unwind) makes it useless; the next call makes a new
// one. `life` tells whether an exchange belongs to the instance of now.
export const instance = { life: 0, trapped: false };
let configured = false;

// Has to be called before anything else of the wasm.
export function ready(env) {
  if (instance.trapped) {
    wasm.__wbg_reset_state();
    instance.trapped = configured = false;
    instance.life++;
  }
  if (!configured) {
    const texts = Object.fromEntries(Object.entries(env).filter(([, value]) => typeof value === "string"));
    wasm.configure(JSON.stringify(texts), crypto.getRandomValues(new BigUint64Array(1))[0]);
    configured = true;
  }
}

// Logs what nobody expected.
export function noteTrap(error) {
  if (error instanceof WebAssembly.RuntimeError) instance.trapped = true;
  console.error(`unexpected: ${error?.stack ?? error}`);
}
