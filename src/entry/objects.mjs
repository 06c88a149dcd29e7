// The Durable Objects, as the platform wants them: classes that hand everything to Rust.
import { DurableObject } from "cloudflare:workers";
import * as wasm from "../../build/bindgen/sluice.js";
import { instance, noteTrap, ready } from "./instance.mjs";

// The Rust object behind a Durable Object, made anew when the wasm instance is.
function durable(name, methods) {
  class Durable extends DurableObject {
    #object;
    #life = -1;
    get rust() {
      ready(this.env);
      if (this.#life !== instance.life) {
        this.#object = new wasm[name](this.ctx, this.env);
        this.#life = instance.life;
      }
      return this.#object;
    }
  }
  for (const [method, run] of Object.entries(methods)) {
    Durable.prototype[method] = async function (...args) {
      try {
        return await run.apply(this, args);
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError) noteTrap(error);
        throw error;
      } finally {
        // Rust may have moved the alarm: only `commit` knows what it set.
        if (method !== "commit") this.armed = 0;
      }
    };
  }
  return Durable;
}

const plain = { fetch(request) { return this.rust.fetch(request); }, alarm() { return this.rust.alarm(); } };

export const Account = durable("Account", {
  ...plain,
  // The answer leaves only when what it says is on disk (output gate).
  commit(batch) {
    const answer = this.rust.commit(batch, Date.now());
    const at = answer.indexOf("\n");
    const alarm = Number(answer.slice(0, at));
    if (alarm > 0 && !(this.armed <= alarm && this.armed > Date.now())) {
      this.armed = alarm;
      this.ctx.storage.setAlarm(alarm);
    }
    return answer.slice(at + 1);
  },
});
export const Catalog = durable("Catalog", plain);
