// Makes the workerd config that runs the gateway on one machine: the gateway as it was built, the
// stores worker for its KV, D1 and queue bindings, and its Durable Objects on local disk.
//
// What wrangler.toml says is read from there (bindings, queue settings, compatibility), so nothing is
// configured twice. Secrets are named here and taken from workerd's environment; the file on disk
// holds none.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { parse } from "smol-toml";

const STORES = ["stores.mjs", "kv.mjs", "d1.mjs", "queue.mjs", "reply.mjs"];

export const readWrangler = (file) => parse(readFileSync(file, "utf8"));

// The text of the config.
//   root       the project, for runtime/ and the migrations
//   build      folder with worker.mjs and its .wasm
//   wrangler   wrangler.toml, parsed
//   file       where the config will be written: it names other files relative to itself
//   disk       folder for the Durable Objects
//   host, port where to listen
//   secrets    names of environment variables to bind as they are
export function workerdConfig({ root, build, wrangler, file, disk, host, port, secrets }) {
  const embed = (path) => `embed ${text(relative(resolve(file, ".."), path).split(sep).join("/"))}`;
  const storage = `durableObjectStorage = (localDisk = "disk"),`;
  const compatibility = (date, flags) =>
    `compatibilityDate = ${text(date)}, compatibilityFlags = ${list(flags.map(text))},`;
  const date = wrangler.compatibility_date;
  return `# Written at every start; changes are lost.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "gateway", worker = (
      modules = ${list(gatewayModules(build).map(({ name, kind, path }) => `(name = ${text(name)}, ${kind} = ${embed(path)})`))},
      ${compatibility(date, wrangler.compatibility_flags ?? [])}
      bindings = ${list(gatewayBindings(wrangler, secrets))},
      globalOutbound = "public",
      durableObjectNamespaces = ${list(gatewayClasses(wrangler).map((name) => namespace(name, `sluice-${name}`)))},
      ${storage}
    )),
    (name = "stores", worker = (
      modules = ${list(STORES.map((name) => `(name = ${text(name)}, esModule = ${embed(join(root, "runtime", name))})`))},
      ${compatibility(date, ["service_binding_extra_handlers"])}
      bindings = ${list(storesBindings(root, wrangler))},
      durableObjectNamespaces = ${list(["KvStore", "D1Store", "QueueStore"].map((name) => namespace(name, `sluice-${name}`, true)))},
      ${storage}
    )),
    # What a request may reach: the Internet; and private addresses only for providers that say so.
    (name = "public", network = (allow = ["public"], tlsOptions = (trustBrowserCas = true))),
    (name = "private", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    (name = "disk", disk = (path = ${text(disk)}, writable = true)),
  ],
  sockets = [(name = "http", address = ${text(`${host.includes(":") ? `[${host}]` : host}:${port}`)}, http = (), service = "gateway")],
);
`;
}

function gatewayModules(build) {
  const wasm = readdirSync(build).filter((name) => name.endsWith(".wasm"));
  return [
    { name: "worker.mjs", kind: "esModule", path: join(build, "worker.mjs") },
    ...wasm.map((name) => ({ name, kind: "wasm", path: join(build, name) })),
  ];
}

function gatewayBindings(wrangler, secrets) {
  const { kv_namespaces = [], d1_databases = [], queues = {}, durable_objects = {}, vars = {} } = wrangler;
  return [
    ...kv_namespaces.map(({ binding }) => `(name = ${text(binding)}, kvNamespace = ${store("KV", binding)})`),
    ...d1_databases.map(({ binding }) => `(name = ${text(binding)}, wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = ${store("D1", binding)})]))`),
    ...(queues.producers ?? []).map(({ binding, queue }) => `(name = ${text(binding)}, queue = ${store("QUEUE", queue)})`),
    ...(durable_objects.bindings ?? []).map(({ name, class_name }) => `(name = ${text(name)}, durableObjectNamespace = ${text(class_name)})`),
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
    `(name = "KV", durableObjectNamespace = "KvStore")`,
    `(name = "D1", durableObjectNamespace = "D1Store")`,
    `(name = "QUEUE", durableObjectNamespace = "QueueStore")`,
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

const store = (kind, name) => `(name = "stores", props = (json = ${text(JSON.stringify({ store: kind, name }))}))`;

// The key names the folder on disk: changing it loses the data.
const namespace = (className, uniqueKey, preventEviction = false) =>
  `(className = ${text(className)}, uniqueKey = ${text(uniqueKey)}, enableSql = true, preventEviction = ${preventEviction})`;

const list = (items) => (items.length === 0 ? "[]" : `[\n        ${items.join(",\n        ")},\n      ]`);

// A Cap'n Proto text literal.
function text(value) {
  const escaped = String(value).replace(/["\\]/g, "\\$&").replace(/[\x00-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${escaped}"`;
}
