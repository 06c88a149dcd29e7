// Sluice's own stores for one machine: the KV, D1 and Queue bindings of the gateway when it runs in
// bare `workerd serve`. workerd turns every binding call into an HTTP request to a service; this
// worker is that service. Each store is one SQLite Durable Object on local disk, so a call that was
// answered is on disk and outlives kill -9.
//
// Which object serves a binding is in the binding's props: { store: "KV" | "D1" | "QUEUE", name }.
import { WorkerEntrypoint } from "cloudflare:workers";

export { KvStore } from "./kv.mjs";
export { D1Store } from "./d1.mjs";
export { QueueStore } from "./queue.mjs";

export default class extends WorkerEntrypoint {
  fetch(request) {
    const { store, name } = this.ctx.props;
    return this.env[store].getByName(name).fetch(request);
  }
}
