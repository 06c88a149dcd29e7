// The gateway on one machine: its worker as it was built, and in the same isolate the stores behind its
// KV, D1 and queue bindings. One isolate less is a hundred megabytes less under load, and a start that
// is sooner over; workerd runs all its isolates on one thread anyway.
export * from "./worker.mjs";
export { default } from "./worker.mjs";
export { D1Store, KvStore, QueueStore, Stores } from "./stores.mjs";
