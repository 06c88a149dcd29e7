// The measurement: rounds of cells over running targets, and first requests of fresh processes.

import { figures, scenarios } from "./scenarios.mjs";
import { load } from "./tools.mjs";

const say = (text) => process.stderr.write(`${text}\n`);

/** Runs every scenario against every target so that compilers and caches have settled before anything counts. */
export async function warm(mock, targets, chosen, seconds) {
  for (const target of targets) {
    for (const scenario of scenarios.filter((one) => chosen.has(one.id) && takes(target, one))) {
      const cell = await load(mock, as(target, scenario), { ...scenario.load, seconds });
      if (cell.failures) say(`  ${target.id} ${scenario.id}: ${cell.failures} failures while warming up: ${cell.first_failure}`);
    }
  }
}

function takes(target, scenario) {
  if (scenario.translated && target.translated === undefined) return false;
  return target.scenarios?.includes(scenario.id) ?? true;
}

/** The target as that scenario asks it. */
function as(target, { translated }) {
  return translated ? { ...target, ...target.translated } : target;
}

/** Rows {round, scenario, target, cell}. Direct comes first in each round, then the targets, back and forth by round. */
export async function measure(mock, targets, { rounds, seconds, warmup, chosen }) {
  const direct = {
    id: "direct", port: mock.port, pid: 0, request: { path: "/v1/chat/completions", model: "bench-model" },
    translated: { request: { path: "/v1/messages", model: "bench-model", answers: "messages" } },
  };
  const rows = [];
  for (let round = 0; round < rounds; round++) {
    const begun = Date.now();
    for (const scenario of scenarios.filter((one) => chosen.has(one.id))) {
      const order = targets.filter((target) => takes(target, scenario));
      for (const target of [direct, ...(round % 2 ? order.toReversed() : order)]) {
        const cell = await load(mock, as(target, scenario), { ...scenario.load, seconds, warmup });
        if (cell.failures) say(`  ${target.id} ${scenario.id}: ${cell.failures} failures: ${cell.first_failure}`);
        rows.push({ round, scenario: scenario.id, target: target.id, cell });
      }
    }
    say(`round ${round + 1} of ${rounds}: ${Math.round((Date.now() - begun) / 1000)} s`);
  }
  return rows;
}

// A first request happens once in a process and takes from half to twice its median, so each round has a few.
const freshPerRound = 3;

/** First request of fresh processes: its time, the CPU used until its answer, and the memory then held. */
export async function firstRequests(mock, targets, rounds) {
  const rows = [];
  for (let round = 0; round < rounds * freshPerRound; round++) {
    for (const target of targets) {
      const running = await target.fresh();
      const cell = await load(mock, { ...target, ...running }, { connections: 1, requests: 1 });
      await running.stop();
      if (cell.failures) say(`  ${target.id}: first request failed: ${cell.first_failure}`);
      else rows.push({ round, target: target.id, ms: cell.latency_us.p50 / 1000, cpu_ms: cell.cpu_since_start_us / 1000, rss_mb: cell.rss_kb / 1024 });
    }
  }
  return rows;
}

/** Values of every figure: {figure id: {target id: [value of each round]}}; a failed or empty cell gives NaN. */
export function values(rows) {
  const cells = new Map(rows.map((row) => [`${row.round} ${row.scenario} ${row.target}`, row.cell]));
  const rounds = 1 + Math.max(...rows.map((row) => row.round));
  const ids = [...new Set(rows.map((row) => row.target))];
  const table = {};
  for (const figure of figures) {
    table[figure.id] = {};
    for (const id of ids.filter((one) => one !== "direct" || figure.direct)) {
      const list = [];
      for (let round = 0; round < rounds; round++) {
        const cell = cells.get(`${round} ${figure.scenario} ${id}`);
        const direct = cells.get(`${round} ${figure.scenario} direct`);
        const usable = cell && cell.requests + cell.chunks > 0 && cell.failures === 0;
        list.push(usable ? figure.of(cell) - (figure.added ? figure.of(direct) : 0) : NaN);
      }
      if (list.some(Number.isFinite)) table[figure.id][id] = list;
    }
  }
  return table;
}
