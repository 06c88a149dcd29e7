// Makes the workerd config that runs the gateway on one machine: the gateway as it was built with, in the
// same worker, the stores for its KV, D1 and queue bindings, and all Durable Objects on local disk.
//
// Several processes on one machine: one keeps the data and opens a door to it (a folder of Unix
// sockets), the others have no data of their own and use its stores and objects through that door.
//
// What wrangler.toml says is read from there (bindings, queue settings, compatibility), so nothing is
// configured twice. Secrets are named here and taken from workerd's environment; the file on disk
// holds none.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { parse } from "smol-toml";

// The worker's own modules on this machine, its main one first.
const RUNTIME = ["local.mjs", "stores.mjs", "kv.mjs", "d1.mjs", "queue.mjs", "reply.mjs"];
const STORES = { STORE_KV: "KvStore", STORE_D1: "D1Store", STORE_QUEUE: "QueueStore" };
// A binding to ourselves can then deliver queue batches.
const FLAGS = ["service_binding_extra_handlers"];

export const readWrangler = (file) => parse(readFileSync(file, "utf8"));

// The text of the config.
//   root       the project, for runtime/ and the migrations
//   build      folder with worker.mjs, what else it imports, and its .wasm
//   wrangler   wrangler.toml, parsed
//   file       where the config will be written: it names other files relative to itself
//   disk       folder for the Durable Objects
//   host, port where to listen
//   secrets    names of environment variables to bind as they are
//   door       folder in which to open the door for other processes, if any
//   through    folder with another process's door; instead of `disk`
export function workerdConfig({ root, build, wrangler, file, disk, host, port, secrets, door, through }) {
  const embed = (path) => `embed ${text(relative(resolve(file, ".."), path).split(sep).join("/"))}`;
  const worker = (name, modules, flags, rest) => `(name = ${text(name)}, worker = (
      modules = ${list(modules.map(({ name, kind = "esModule", path }) => `(name = ${text(name)}, ${kind} = ${embed(path)})`))},
      compatibilityDate = ${text(wrangler.compatibility_date)}, compatibilityFlags = ${list(flags.map(text))},
      ${rest.join(",\n      ")},
    ))`;
  const runtime = (...names) => names.map((name) => ({ name, path: join(root, "runtime", name) }));
  const sockets = [`(name = "http", address = ${text(`${host.includes(":") ? `[${host}]` : host}:${port}`)}, http = (), service = "gateway")`];

  const gateway = ({ modules = [], flags = [], bindings, storage = [] }) =>
    worker("gateway", [...modules, ...gatewayModules(build)], [...(wrangler.compatibility_flags ?? []), ...flags], [
      `bindings = ${list([...bindings, ...gatewayVariables(wrangler, secrets)])}`, `globalOutbound = "public"`, ...storage,
    ]);
  const here = () => [
    gateway({
      modules: runtime(...RUNTIME),
      flags: FLAGS,
      bindings: [...storeBindings(wrangler, store), ...objectBindings(wrangler), ...storesBindings(root, wrangler)],
      storage: [
        `durableObjectNamespaces = ${list([
          ...gatewayClasses(wrangler).map((name) => namespace(name, `sluice-${name}`)),
          ...Object.values(STORES).map((name) => namespace(name, `sluice-${name}`, true)),
        ])}`,
        `durableObjectStorage = (localDisk = "disk")`,
      ],
    }),
    `(name = "disk", disk = (path = ${text(disk)}, writable = true))`,
  ];
  const elsewhere = () => [
    gateway({ bindings: [...storeBindings(wrangler, (kind, name) => text(`${kind} ${name}`)), ...objectBindings(wrangler, "objects")] }),
    worker("objects", runtime("objects.mjs"), [], [
      `bindings = [(name = "DOOR", service = "door")]`,
      `durableObjectNamespaces = ${list(gatewayClasses(wrangler).map((name) => namespace(name, `remote-${name}`)))}`,
      `durableObjectStorage = (inMemory = void)`,
    ]),
    ...storesUsed(wrangler).map(([kind, name]) => remote(`${kind} ${name}`, through, socketOf(kind, name))),
    remote("door", through, OBJECTS_SOCKET),
  ];
  const services = through === undefined ? here() : elsewhere();
  if (door !== undefined) {
    services.push(worker("door", runtime("door.mjs"), [], [`bindings = ${list(objectBindings(wrangler, "gateway"))}`]));
    sockets.push(socket(door, OBJECTS_SOCKET, text("door")), ...storesUsed(wrangler).map(([kind, name]) => socket(door, socketOf(kind, name), store(kind, name))));
  }
  return `# Written at every start; changes are lost.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ${services.join(",\n    ")},
    # What a request may reach: the Internet; and private addresses only for providers that say so.
    (name = "public", network = (allow = ["public"], tlsOptions = (trustBrowserCas = true))),
    (name = "private", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = ${list(sockets)},
);
`;
}

// The door's sockets, by file name: one to the objects, and one to each store.
const OBJECTS_SOCKET = "objects";
const socketOf = (kind, name) => `${kind}-${name}`;
const socket = (folder, name, service) => `(name = ${text(name)}, address = ${text(`unix:${join(folder, name)}`)}, http = (), service = ${service})`;
const remote = (service, folder, name) => `(name = ${text(service)}, external = (address = ${text(`unix:${join(folder, name)}`)}, http = ()))`;

function gatewayModules(build) {
  const others = readdirSync(build).filter((name) => /\.(wasm|mjs)$/.test(name) && name !== "worker.mjs").sort();
  return ["worker.mjs", ...others].map((name) => ({ name, kind: name.endsWith(".wasm") ? "wasm" : "esModule", path: join(build, name) }));
}

// [kind, name] of each store that a binding uses.
function storesUsed({ kv_namespaces = [], d1_databases = [], queues = {} }) {
  return [
    ...kv_namespaces.map(({ binding }) => ["KV", binding]),
    ...d1_databases.map(({ binding }) => ["D1", binding]),
    ...(queues.producers ?? []).map(({ queue }) => ["QUEUE", queue]),
  ];
}

// `service(kind, name)`: what serves that store.
function storeBindings({ kv_namespaces = [], d1_databases = [], queues = {} }, service) {
  return [
    ...kv_namespaces.map(({ binding }) => `(name = ${text(binding)}, kvNamespace = ${service("KV", binding)})`),
    ...d1_databases.map(({ binding }) => `(name = ${text(binding)}, wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = ${service("D1", binding)})]))`),
    ...(queues.producers ?? []).map(({ binding, queue }) => `(name = ${text(binding)}, queue = ${service("QUEUE", queue)})`),
  ];
}

// Of the classes in `service`, if they are not the worker's own.
function objectBindings({ durable_objects = {} }, service) {
  const where = (className) => (service === undefined ? text(className) : `(className = ${text(className)}, serviceName = ${text(service)})`);
  return (durable_objects.bindings ?? []).map(({ name, class_name }) => `(name = ${text(name)}, durableObjectNamespace = ${where(class_name)})`);
}

function gatewayVariables({ vars = {} }, secrets) {
  return [
    ...Object.entries(vars)
      .filter(([name]) => !secrets.includes(name))
      .map(([name, value]) => typeof value === "string" ? `(name = ${text(name)}, text = ${text(value)})` : `(name = ${text(name)}, json = ${text(JSON.stringify(value))})`),
    ...secrets.map((name) => `(name = ${text(name)}, fromEnvironment = ${text(name)})`),
    `(name = "PRIVATE_NETWORK", service = "private")`,
  ];
}

const gatewayClasses = (wrangler) => [...new Set((wrangler.durable_objects?.bindings ?? []).map((binding) => binding.class_name))];

function storesBindings(root, wrangler) {
  return [
    ...Object.entries(STORES).map(([name, className]) => `(name = ${text(name)}, durableObjectNamespace = ${text(className)})`),
    `(name = "GATEWAY", service = "gateway")`,
    `(name = "QUEUES", json = ${text(JSON.stringify(queueSettings(wrangler)))})`,
    `(name = "MIGRATIONS", json = ${text(JSON.stringify(migrations(root, wrangler)))})`,
  ];
}

// The settings runtime/queue.mjs takes, by queue: producers' and consumers' tables of wrangler.toml.
export function queueSettings({ queues = {} }) {
  const settings = {};
  for (const { queue, delivery_delay } of queues.producers ?? []) {
    settings[queue] = defined({ deliveryDelay: delivery_delay });
  }
  for (const consumer of queues.consumers ?? []) {
    settings[consumer.queue] = {
      ...settings[consumer.queue],
      ...defined({
        maxBatchSize: consumer.max_batch_size,
        maxBatchTimeout: consumer.max_batch_timeout,
        maxRetries: consumer.max_retries,
        retryDelay: consumer.retry_delay,
        deadLetterQueue: consumer.dead_letter_queue,
      }),
      consumer: "GATEWAY",
    };
    // A dead letter queue needs no table of its own, but a place to keep its messages.
    if (consumer.dead_letter_queue !== undefined) settings[consumer.dead_letter_queue] ??= {};
  }
  return settings;
}

const defined = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

// {binding: [{name, sql}]}, in the order of their names, as wrangler applies them.
function migrations(root, { d1_databases = [] }) {
  return Object.fromEntries(
    d1_databases.map(({ binding, migrations_dir = "migrations" }) => {
      const folder = join(root, migrations_dir);
      const names = readdirSync(folder).filter((name) => name.endsWith(".sql")).sort();
      return [binding, names.map((name) => ({ name, sql: readFileSync(join(folder, name), "utf8") }))];
    }),
  );
}

const store = (kind, name) => `(name = "gateway", entrypoint = "Stores", props = (json = ${text(JSON.stringify({ store: `STORE_${kind}`, name }))}))`;

// The key names the folder on disk: changing it loses the data.
const namespace = (className, uniqueKey, preventEviction = false) =>
  `(className = ${text(className)}, uniqueKey = ${text(uniqueKey)}, enableSql = true, preventEviction = ${preventEviction})`;

const list = (items) => (items.length === 0 ? "[]" : `[\n        ${items.join(",\n        ")},\n      ]`);

// A Cap'n Proto text literal.
function text(value) {
  const escaped = String(value).replace(/["\\]/g, "\\$&").replace(/[\x00-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${escaped}"`;
}
