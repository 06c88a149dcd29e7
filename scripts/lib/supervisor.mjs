// Runs the gateway on this machine: workerd with the gateway and its stores, and the demo upstream
// where there are no real providers. No Node is in the path of a request; this process starts, watches,
// restarts and ends the others.
//
// State folder: secrets.json and credentials.json (see credentials.mjs), demo.json (the demo's ports),
// workerd.capnp and authorities.pem (the config and whom to trust, written at every start), do/ (the
// data), gateway.pid, demo.pid, supervisor.pid.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import workerd from "workerd";
import { Child } from "./child.mjs";
import { ensureCredentials, ensureSecrets, registerDemo, removeDemo } from "./credentials.mjs";
import { writePrivate } from "./files.mjs";
import { end, gone, listenable, livingOwn, removePid, writePid } from "./processes.mjs";
import { Unable } from "./settings.mjs";
import { trust } from "./trust.mjs";
import { readWrangler, workerdConfig } from "./workerd-config.mjs";

// workerd, asked to end, waits for open streams for ever; a client of a stopped gateway need not.
const GRACE_MS = 2000;
const HEALTH_MS = 30_000;
const ENDING_MS = 4000;
// What our children need of our environment; workerd gets its secrets besides.
const PASSED_ON = ["PATH", "HOME", "TZ", "LANG", "TMPDIR"];

// What the gateway itself takes where the operator sets it.
const OPTIONAL_SECRETS = ["STRIPE_WEBHOOK_SECRET"];

// Starts everything and answers, once the gateway is healthy and its credentials work, with
// {credentials, demo, stop()}. `say(line)` hears what happens later.
//   settings   as readSettings() gives them
//   root, build, wrangler   the project, the built worker's folder, the path of wrangler.toml
//   command    how the operator started this, for advice
//   node       the node that runs the demo
export async function supervise({ settings, root, build, wrangler, command, node, say }) {
  const { state, host, port, env } = settings;
  mkdirSync(join(state, "do"), { recursive: true, mode: 0o700 });
  const files = filesOf(state);
  await clearAway(files, settings, root, command, say);
  if ((await listenable(port, host)) === null) {
    throw new Unable(`port ${port} is in use by another program; choose another: PORT=${port === 65535 ? 8787 : port + 1} ${command}`);
  }
  writePid(files.supervisorPid, process.pid);

  const children = [];
  const stop = async () => {
    await Promise.all(children.map((child) => child.stop(GRACE_MS)));
    removePid(files.supervisorPid);
  };
  process.on("exit", () => children.forEach((child) => child.kill()));

  try {
    const demo = wantsDemo(settings) ? startDemo({ files, state, root, node, say, children }) : null;
    const secrets = ensureSecrets(state, env);
    const bound = { ...pick(env, settings.vars), ...pick(env, settings.providerVariables), ...pick(env, OPTIONAL_SECRETS), ...secrets };
    writePrivate(files.config, workerdConfig({
      root, build, wrangler: readWrangler(wrangler), file: files.config, disk: join(state, "do"), host, port, secrets: Object.keys(bound),
    }));
    const gateway = new Child({
      name: "the gateway", command: workerd.default, args: ["serve", "--experimental", files.config],
      env: { ...pick(env, PASSED_ON), ...trust(files.authorities, env), ...bound }, stdio: ["ignore", "inherit", "inherit"], pidFile: files.gatewayPid, say,
    });
    children.push(gateway.start());

    const baseUrl = `http://${urlHost(host)}:${port}/v1`;
    await healthy(baseUrl, gateway);
    const credentials = await ensureCredentials(state, baseUrl, secrets.SLUICE_MANAGEMENT_KEY, say);
    if (demo !== null) await registerDemo(baseUrl, credentials.management_key, await demo);
    else if (existsSync(files.demo)) {
      await removeDemo(baseUrl, credentials.management_key);
      rmSync(files.demo);
    }
    return { credentials, demo: demo !== null, model: await firstModel(baseUrl, credentials.inference_key), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const filesOf = (state) => ({
  config: join(state, "workerd.capnp"),
  authorities: join(state, "authorities.pem"),
  demo: join(state, "demo.json"),
  gatewayPid: join(state, "gateway.pid"),
  demoPid: join(state, "demo.pid"),
  supervisorPid: join(state, "supervisor.pid"),
});

// Ends what a killed supervisor left behind. A living one is left alone: two gateways must not share
// a state folder.
async function clearAway(files, { state }, root, command, say) {
  const supervisor = livingOwn(files.supervisorPid, "start.mjs", "serve.mjs");
  // One whose npm was killed is about to end by itself.
  if (supervisor !== null && !(await gone(supervisor, ENDING_MS))) {
    throw new Unable(`Sluice is already running on ${state} (process ${supervisor}); stop it first, or start a second one: PORT=8788 SLUICE_STATE=.sluice-2 ${command}`);
  }
  const leftovers = [
    ["gateway", livingOwn(files.gatewayPid, files.config)],
    ["demo", livingOwn(files.demoPid, join(root, "scripts", "demo.mjs"))],
  ];
  for (const [name, pid] of leftovers) {
    if (pid === null) continue;
    say(`ending the ${name} that an earlier start left running (process ${pid})`);
    if (!(await end(pid, GRACE_MS))) throw new Unable(`process ${pid} of an earlier start does not end; end it by hand: kill -9 ${pid}`);
  }
}

const wantsDemo = ({ demo, providerKeys }) => demo !== "0" && (demo !== "" || providerKeys.length === 0);

// Starts the demo upstream and answers with its ports.
function startDemo({ files, state, root, node, say, children }) {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Unable("the demo upstream did not start; SLUICE_DEMO=0 starts without it")), HEALTH_MS);
    const demo = new Child({
      name: "the demo upstream", command: node, args: [join(root, "scripts", "demo.mjs"), state],
      env: pick(process.env, PASSED_ON), stdio: ["ignore", "inherit", "inherit", "ipc"], pidFile: files.demoPid, say,
      onStart: (child) => child.once("message", ({ ports }) => {
        clearTimeout(limit);
        resolve(ports);
      }),
    });
    children.push(demo.start());
  });
}

// A model that can be called now, for the first request; null where there is none.
async function firstModel(baseUrl, key) {
  const response = await fetch(`${baseUrl}/models?limit=1`, { headers: { authorization: `Bearer ${key}` } });
  const { data } = await response.json();
  return data?.[0]?.id ?? null;
}

async function healthy(baseUrl, gateway) {
  const url = baseUrl.replace(/\/v1$/, "/health");
  for (const until = Date.now() + HEALTH_MS; Date.now() < until; ) {
    if (await answers(url)) return;
    if (!gateway.running) throw new Unable("the gateway does not start; its own message is above");
    await new Promise((done) => setTimeout(done, 15));
  }
  throw new Unable(`the gateway does not answer at ${url}`);
}

async function answers(url) {
  try {
    const response = await fetch(url);
    await response.arrayBuffer();
    return response.ok;
  } catch (error) {
    if (error.cause?.code === undefined) throw error;
    return false;
  }
}

// An address to listen on everywhere is none to connect to.
const urlHost = (host) => (host === "0.0.0.0" || host === "::" || host === "*" ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host);

const pick = (env, names) => Object.fromEntries(names.filter((name) => env[name] !== undefined && env[name] !== "").map((name) => [name, env[name]]));
