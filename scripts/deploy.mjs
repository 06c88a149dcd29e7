// `npm run deploy`: the gateway to Cloudflare. Checks what can be checked, builds, migrates, deploys.
//
//   npm run deploy                       everything
//   npm run deploy -- --init-secrets     first makes the secrets that are not set yet
//   npm run deploy -- --dry-run          only what needs no account: builds, bundles, checks the size
//
// Every step may be repeated: what is done is found done. README.md, "Deploy to Cloudflare", has the whole way.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { newKey } from "./lib/keys.mjs";
import { Unable } from "./lib/settings.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const bundle = join(root, "build", "bundle");
const MAX_GZIPPED_BYTES = 1_500_000;
const SECRETS = {
  SLUICE_MANAGEMENT_KEY: newKey,
  SLUICE_MASTER_KEY: () => randomBytes(32).toString("base64"),
};

const say = (line) => console.log(`deploy: ${line}`);

async function main() {
  const { values: options } = parseArgs({ options: { "dry-run": { type: "boolean" }, "init-secrets": { type: "boolean" } } });
  if (!existsSync(join(root, "node_modules", "wrangler"))) throw new Unable("the npm packages are missing; run npm ci first");
  const { parse } = await import("smol-toml");
  const config = parse(readFileSync(join(root, "wrangler.toml"), "utf8"));
  const missing = missingIds(config);

  if (options["dry-run"]) {
    bundleAndCheck();
    missing.forEach((line) => say(`before a real deploy: ${line}`));
    say("dry run: nothing was sent");
    return;
  }
  if (missing.length > 0) throw new Unable(`wrangler.toml does not name your resources yet\n${missing.map((line) => `  ${line}`).join("\n")}`);
  checkAccount();
  checkQueues(config);
  bundleAndCheck();
  checkSecrets(options["init-secrets"]);
  say("applying the database migrations");
  for (const { binding } of config.d1_databases) wrangler(["d1", "migrations", "apply", binding, "--remote"]);
  say("deploying");
  wrangler(["deploy"]);
}

// Which ids in wrangler.toml are still the zeros it came with, and how to get real ones.
function missingIds({ kv_namespaces = [], d1_databases = [] }) {
  const placeholder = (id) => !/[1-9a-f]/.test(id ?? "");
  return [
    ...kv_namespaces.filter(({ id }) => placeholder(id)).map(({ binding }) => `run: npx wrangler kv namespace create ${binding}   and put the id it prints in [[kv_namespaces]] of wrangler.toml`),
    ...d1_databases
      .filter(({ database_id }) => placeholder(database_id))
      .map(({ database_name }) => `run: npx wrangler d1 create ${database_name}   and put the database_id it prints in [[d1_databases]] of wrangler.toml`),
  ];
}

function checkAccount() {
  const { status, text } = ask(["whoami"]);
  if (status !== 0 || /not authenticated/i.test(text)) throw new Unable("wrangler is not logged in; run: npx wrangler login   (or set CLOUDFLARE_API_TOKEN)");
}

function checkQueues({ queues = {} }) {
  const names = [...(queues.producers ?? []), ...(queues.consumers ?? [])].flatMap(({ queue, dead_letter_queue }) => [queue, dead_letter_queue ?? queue]);
  const absent = [...new Set(names)].filter((name) => {
    const { status, text } = ask(["queues", "info", name]);
    if (status !== 0 && !/does not exist/i.test(text)) throw new Unable(`wrangler queues info ${name} failed:\n${text}`);
    return status !== 0;
  });
  if (absent.length > 0) throw new Unable(`queues are missing\n${absent.map((name) => `  run: npx wrangler queues create ${name}`).join("\n")}`);
}

// The secrets are set, or are made now.
function checkSecrets(init) {
  const { status, text } = ask(["secret", "list", "--format", "json"]);
  // Before the first deploy there is no Worker that could have any.
  const unborn = status !== 0 && /not found|does not exist|10007/i.test(text);
  if (status !== 0 && !unborn) throw new Unable(`wrangler secret list failed:\n${text}`);
  const set = unborn ? [] : JSON.parse(text.slice(text.indexOf("["))).map(({ name }) => name);
  const absent = Object.keys(SECRETS).filter((name) => !set.includes(name));
  if (absent.length === 0) return;
  if (!init) {
    throw new Unable(`the secrets ${absent.join(" and ")} are not set; npm run deploy -- --init-secrets makes them, or set your own: npx wrangler secret put ${absent[0]}`);
  }
  say(`making ${absent.join(" and ")}`);
  const made = Object.fromEntries(absent.map((name) => [name, SECRETS[name]()]));
  wrangler(["secret", "bulk"], JSON.stringify(made));
  if (made.SLUICE_MANAGEMENT_KEY === undefined) return;
  say(`the management key, shown this once: ${made.SLUICE_MANAGEMENT_KEY}`);
  say("keep it: it makes all other keys (POST /v1/keys), and Cloudflare does not give it back");
}

// What wrangler would upload, made and weighed.
function bundleAndCheck() {
  rmSync(bundle, { recursive: true, force: true });
  wrangler(["deploy", "--dry-run", "--outdir", bundle]);
  const uploaded = readdirSync(bundle).filter((name) => /\.(js|wasm)$/.test(name));
  const bytes = uploaded.reduce((sum, name) => sum + gzipSync(readFileSync(join(bundle, name))).length, 0);
  if (bytes > MAX_GZIPPED_BYTES) throw new Unable(`the worker has ${bytes} bytes gzipped; the most it may have is ${MAX_GZIPPED_BYTES}`);
  say(`the worker has ${bytes} bytes gzipped, of at most ${MAX_GZIPPED_BYTES}`);
}

// Runs wrangler in the operator's sight.
function wrangler(args, input) {
  const { status, error } = run(args, { stdio: [input === undefined ? "inherit" : "pipe", "inherit", "inherit"], input });
  if (error) throw error;
  if (status !== 0) throw new Unable(`wrangler ${args.slice(0, 2).join(" ")} failed; its own message is above`);
}

// Asks wrangler something.
function ask(args) {
  const { status, stdout, stderr, error } = run(args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  if (error) throw error;
  return { status, text: status === 0 ? stdout : `${stdout}${stderr}`.trim() };
}

// Wrangler needs a newer Node than this script: the pinned one of node_modules.
function run(args, options) {
  const bin = join(root, "node_modules", ".bin");
  const node = existsSync(join(bin, "node")) ? join(bin, "node") : process.execPath;
  return spawnSync(node, [join(root, "node_modules", "wrangler", "bin", "wrangler.js"), ...args], { cwd: root, ...options });
}

try {
  await main();
} catch (error) {
  const told = error instanceof Unable || error.code?.startsWith("ERR_PARSE_ARGS");
  console.error(told ? `deploy: ${error.message}` : error);
  process.exit(1);
}
