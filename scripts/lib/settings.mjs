// What the operator set: the environment, and `.dev.vars` (KEY=VALUE lines, as wrangler reads it)
// where the environment is silent.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

// A reason not to start that the operator can do something about: shown as one line, without a stack.
export class Unable extends Error {}

export function readSettings(root, environment = process.env) {
  const vars = parseVars(readIfThere(join(root, ".dev.vars")) ?? "");
  const env = { ...vars, ...environment };
  const providers = builtInProviders(root);
  return {
    env,
    vars: Object.keys(vars),
    host: env.HOST || "127.0.0.1",
    port: portOf(env.PORT ?? "8787"),
    state: resolve(env.SLUICE_STATE ?? join(root, ".sluice")),
    demo: env.SLUICE_DEMO ?? "",
    providerKeys: [...new Set(providers.flatMap((provider) => switchedOnBy(provider, env)))],
    providerVariables: [...new Set(providers.flatMap(variableNames))].filter((name) => env[name]),
  };
}

function portOf(given) {
  const port = Number(given);
  if (Number.isInteger(port) && port > 0 && port < 65536) return port;
  throw new Unable(`PORT is "${given}"; set it to a number from 1 to 65535, e.g. PORT=8788`);
}

// Quotes around a value are taken off; in double quotes \n is a line break. `#` starts a comment line.
export function parseVars(source) {
  const vars = {};
  for (const line of source.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match === null) continue;
    const [, name, value] = match;
    const quoted = /^(["'])(.*)\1$/.exec(value);
    if (quoted === null) vars[name] = value.replace(/\s+#.*$/, "");
    else vars[name] = quoted[1] === '"' ? quoted[2].replaceAll("\\n", "\n") : quoted[2];
  }
  return vars;
}

function builtInProviders(root) {
  const source = readIfThere(join(root, "catalog", "providers.json"));
  return source === null ? [] : JSON.parse(source);
}

// The variables that a provider's row names: keys, addresses, and what belongs to them.
const variableNames = ({ api_key_env = [], env = {} }) => [...api_key_env, ...Object.values(env).flat()];

// Of those that are set, the ones that say that this provider is meant to be called. AWS keys and Entra's
// applications say no such thing: they may be there for something else, and are only passed on.
// (src/provider/environment.rs decides in the end.)
export function switchedOnBy({ base_url, quirks = [], api_key_env = [], env: names = {} }, env) {
  const set = (list = []) => list.filter((name) => env[name]);
  const addresses = set([...(names.base_url ?? []), ...(names.resource_name ?? [])]);
  const keyless = quirks.includes("keyless");
  const needsAddress = keyless || (base_url === undefined && (names.base_url ?? names.resource_name) !== undefined);
  if (needsAddress && addresses.length === 0) return [];
  const keys = set([...api_key_env, ...(names.service_account ?? [])]);
  return keys.length > 0 || keyless ? [...keys, ...addresses] : [];
}

function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}
