// What the operator set: the environment, and `.dev.vars` (KEY=VALUE lines, as wrangler reads it)
// where the environment is silent.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

// A reason not to start that the operator can do something about: shown as one line, without a stack.
export class Unable extends Error {}

export function readSettings(root, environment = process.env) {
  const vars = parseVars(readIfThere(join(root, ".dev.vars")) ?? "");
  const env = { ...vars, ...environment };
  return {
    env,
    vars: Object.keys(vars),
    host: env.HOST || "127.0.0.1",
    port: portOf(env.PORT ?? "8787"),
    state: resolve(env.SLUICE_STATE ?? join(root, ".sluice")),
    demo: env.SLUICE_DEMO ?? "",
    providerKeys: providerKeyNames(root).filter((name) => env[name]),
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

// The environment names under which the catalog's providers take their keys.
function providerKeyNames(root) {
  const source = readIfThere(join(root, "catalog", "providers.json"));
  if (source === null) return [];
  return [...new Set(JSON.parse(source).flatMap((provider) => provider.api_key_env ?? []))];
}

function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}
