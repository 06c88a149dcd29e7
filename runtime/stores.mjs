// Sluice's own stores for one machine: the KV, D1 and Queue bindings of the gateway when it runs in
// bare `workerd serve`. workerd turns every binding call into an HTTP request to a service; this
// entrypoint is that service. Each store is one SQLite Durable Object on local disk, so a call that was
// answered is on disk and outlives kill -9.
//
// Which object serves a binding is in the binding's props: {store, name}, `store` being the binding of
// its class (STORE_KV, STORE_D1, STORE_QUEUE; the gateway must not use these names).
import { WorkerEntrypoint } from "cloudflare:workers";

export { KvStore } from "./kv.mjs";
export { D1Store } from "./d1.mjs";
export { QueueStore } from "./queue.mjs";

export class Stores extends WorkerEntrypoint {
  fetch(request) {
    const { store, name } = this.ctx.props;
    return this.env[store].getByName(name).fetch(request);
  }
}
