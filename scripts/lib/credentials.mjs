// The state folder's secrets, and the keys of a first start.
//   secrets.json      management_key, master_key: what the gateway itself is given
//   credentials.json  base_url, management_key, inference_key: what a client needs
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { readJson, writeJson } from "./files.mjs";
import { newKey } from "./keys.mjs";
import { demoPaths, demoRows } from "./demo-catalog.mjs";
import { Unable } from "./settings.mjs";

// Secrets of this state folder, made on the first call. The operator's own take their place.
export function ensureSecrets(state, env) {
  const file = join(state, "secrets.json");
  let secrets = readJson(file);
  if (secrets === null) {
    secrets = { management_key: newKey(), master_key: randomBytes(32).toString("base64") };
    writeJson(file, secrets);
  }
  return {
    SLUICE_MANAGEMENT_KEY: env.SLUICE_MANAGEMENT_KEY || secrets.management_key,
    SLUICE_MASTER_KEY: env.SLUICE_MASTER_KEY || secrets.master_key,
  };
}

// Brings credentials.json up to date with the running gateway. `say` is told of a replaced key.
export async function ensureCredentials(state, baseUrl, managementKey, say) {
  const file = join(state, "credentials.json");
  const before = readJson(file);
  let inferenceKey = before?.inference_key;
  if (inferenceKey !== undefined && (await refused(baseUrl, inferenceKey))) {
    say("the stored inference key is no longer accepted; making a new one");
    inferenceKey = undefined;
  }
  if (inferenceKey === undefined) {
    inferenceKey = (await call(baseUrl, managementKey, "POST", "keys", { name: "default" })).key;
  }
  const after = { base_url: baseUrl, management_key: managementKey, inference_key: inferenceKey };
  if (JSON.stringify(before) !== JSON.stringify(after)) writeJson(file, after);
  return after;
}

async function refused(baseUrl, key) {
  const response = await fetch(`${baseUrl}/key`, { headers: { authorization: `Bearer ${key}` } });
  await response.arrayBuffer();
  return response.status === 401;
}

export async function registerDemo(baseUrl, managementKey, ports) {
  for (const [path, body] of demoRows(ports)) await call(baseUrl, managementKey, "PUT", path, body);
}

export async function removeDemo(baseUrl, managementKey) {
  for (const path of demoPaths()) await call(baseUrl, managementKey, "DELETE", path, undefined, [404]);
}

async function call(baseUrl, key, method, path, body, alsoFine = []) {
  const response = await fetch(`${baseUrl}/${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok && !alsoFine.includes(response.status)) {
    throw new Unable(`the gateway answered ${response.status} to ${method} ${path}: ${text.slice(0, 300)}`);
  }
  return text === "" || !response.ok ? null : JSON.parse(text);
}
