// One run from start to end: prepare what is needed, first requests of fresh processes, warm-up, rounds, report.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, cpus, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { all } from "../targets/index.mjs";
import { root, work } from "./files.mjs";
import { firstRequests, measure, values, warm } from "./measure.mjs";
import { cores, run, Unavailable } from "./process.mjs";
import { document, table } from "./report.mjs";
import { scenarios } from "./scenarios.mjs";
import { plot } from "./plot.mjs";
import { load, startMock } from "./tools.mjs";
import { workerdVersion } from "./workerd.mjs";

const say = (text) => process.stderr.write(`${text}\n`);

export async function bench({ rounds, seconds, warmup, only, targets: wanted, out, cold = true }) {
  const begun = Date.now();
  const chosen = new Set(only ?? scenarios.map(({ id }) => id));
  known("scenario", chosen, scenarios);
  known("target", wanted ?? [], all);
  const skipped = [];
  const mock = await startMock();

  let targets = await attempt(all.filter(({ id }) => wanted?.includes(id) ?? true), skipped, "preparing", async (target) => {
    await target.prepare?.({ mock });
    return target;
  });
  const fresh = targets.filter((target) => cold && target.cold).map((target) => ({ ...target, fresh: () => (target.fresh ?? target.start)({ mock }) }));
  if (cold) say("first requests of fresh processes");
  const first = await firstRequests(mock, fresh, rounds);

  const own = targets.filter(({ modeOf }) => !modeOf);
  const running = await attempt(own, skipped, "starting", async (target) => ({ ...target, ...(await target.start({ mock })) }));
  for (const target of targets.filter(({ modeOf }) => modeOf)) {
    const base = running.find(({ id }) => id === target.modeOf);
    if (base) running.push({ ...target.mode(base), ...target, size: undefined });
    else skipped.push({ id: target.id, title: target.title, why: `${target.modeOf} is not running` });
  }
  if (running.length === 0) throw new Error("no target could be started");
  // Report order, which running lost when modes were added behind.
  running.sort((a, b) => all.findIndex(({ id }) => id === a.id) - all.findIndex(({ id }) => id === b.id));

  say("warm-up");
  await warm(mock, running, chosen, Math.min(1, seconds));
  const rows = await measure(mock, running, { rounds, seconds, warmup, chosen });
  const memory = Object.fromEntries(await Promise.all(
    running.filter(({ modeOf }) => !modeOf).map(async (target) => [target.id, (await load(mock, target, { connections: 1, requests: 1 })).rss_kb / 1024]),
  ));

  const result = {
    when: new Date().toISOString(),
    minutes: (Date.now() - begun) / 60_000,
    rounds,
    seconds,
    machine: machine(),
    targets: running.map(({ id, title, note, version, size }) => ({ id, title, note, version, size })),
    skipped,
    first,
    memory,
    rows,
    values: values(rows),
  };
  const raw = join(work(), "results.json");
  writeFileSync(raw, JSON.stringify(result, null, 1));
  console.log(table(result));
  if (out) {
    const folder = resolve(root, out);
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "benchmarks.md");
    writeFileSync(file, document(result, file));
    writeFileSync(join(folder, "benchmarks.svg"), plot(result));
    say(`written: ${file} and its plot`);
  }
  say(`raw numbers: ${raw}`);
  const wrong = rows.filter(({ cell }) => cell.failures > 0);
  for (const { target, scenario, cell } of wrong) say(`WRONG ANSWERS: ${target} ${scenario}: ${cell.failures}, first: ${cell.first_failure}`);
  for (const target of running) await target.stop?.();
  return wrong.length > 0 ? 1 : 0;
}

/** Does `work` for each target; one that is unavailable is left out, with its reason shown and kept for the report. */
async function attempt(targets, skipped, doing, work) {
  const done = [];
  for (const target of targets) {
    say(`${doing} ${target.id}`);
    try {
      done.push(await work(target));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      say(`SKIPPED ${target.id}: ${error.message}`);
      skipped.push({ id: target.id, title: target.title, why: error.message.split("\n")[0] });
    }
  }
  return done;
}

function known(kind, ids, list) {
  for (const id of ids) {
    if (!list.some((one) => one.id === id)) throw new Error(`unknown ${kind} ${id}; known: ${list.map((one) => one.id).join(", ")}`);
  }
}

function machine() {
  const flags = readFileSync("/proc/cpuinfo", "utf8").includes("hypervisor") ? ", virtual" : "";
  return {
    cpu: `${availableParallelism()} x ${cpus()[0].model.trim()}${flags}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
    system: `Linux ${release()}, ${arch()}`,
    pinned: cores !== null,
    workerd: workerdVersion,
    node: run(join(root, "node_modules", ".bin", "node"), ["--version"]).trim(),
    rust: run("rustc", ["--version"]).trim(),
  };
}
