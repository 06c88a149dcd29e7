// `npm run bench -- --variants`: ways for a worker to relay a stream, compared. Prints a table and writes it to
// build/bench/variants.txt. "closed after" is how many more chunks the upstream sent once the client had left.

import { readdirSync, writeFileSync } from "node:fs";
import { get, request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bench, work } from "./files.mjs";
import { median, ratio } from "./stats.mjs";
import { load, startMock } from "./tools.mjs";
import { startWorker } from "./workerd.mjs";

const cells = {
  paced: { connections: 16, chunks: 100, "every-us": 5000 },
  burst: { connections: 4, chunks: 1000, "every-us": 0 },
  ttft: { connections: 1, chunks: 5, "every-us": 5000 },
};

export async function variants({ rounds, seconds }) {
  const mock = await startMock();
  const folder = join(bench, "variants");
  const names = readdirSync(folder).filter((name) => name !== "look.mjs").map((name) => name.replace(".mjs", ""));
  names.sort((a, b) => (b === "native") - (a === "native"));
  const targets = [];
  for (const name of names) {
    const target = await startWorker(`variant-${name}`, {
      modules: [join(folder, `${name}.mjs`), join(folder, "look.mjs")],
      bindings: { UPSTREAM: `${mock.url}/v1/chat/completions` },
      request: { path: "/v1/chat/completions", model: "bench-model" },
    });
    targets.push({ name, ...target });
  }
  const seen = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const target of round % 2 ? targets.toReversed() : targets) {
      const result = {};
      for (const [cell, options] of Object.entries(cells)) {
        result[cell] = await load(mock, target, { ...options, warmup: round ? 0.3 : 1, seconds });
        if (result[cell].failures) console.error(`${target.name} ${cell}: ${result[cell].first_failure}`);
      }
      seen[target.name].push(result);
    }
    console.error(`round ${round + 1} of ${rounds}`);
  }
  const closed = {};
  for (const target of targets) closed[target.name] = await leaving(mock, target);
  const table = report(names, seen, closed);
  console.log(table);
  writeFileSync(join(work(), "variants.txt"), table);
}

function report(names, seen, closed) {
  const perChunk = (cell) => (result) => result[cell].cpu_us / result[cell].chunks;
  const column = (name, pick) => seen[name].map(pick);
  const lines = [["variant", "paced us/chunk", "x native", "burst us/chunk", "x native", "TTFT us", "delay p50 us", "delay p99 us", "upstream closed after client left"]];
  for (const name of names) {
    const against = (pick) => `x${ratio(column(name, pick), column("native", pick)).toFixed(2)}`;
    const value = (pick, digits = 0) => median(column(name, pick)).toFixed(digits);
    lines.push([
      name, value(perChunk("paced"), 1), against(perChunk("paced")), value(perChunk("burst"), 1), against(perChunk("burst")),
      value((result) => result.ttft.first_chunk_us.p50), value((result) => result.paced.chunk_delay_us.p50),
      value((result) => result.paced.chunk_delay_us.p99), closed[name],
    ]);
  }
  const widths = lines[0].map((_, at) => Math.max(...lines.map((line) => line[at].length)));
  return `${lines.map((line) => line.map((text, at) => at ? text.padStart(widths[at]) : text.padEnd(widths[at])).join("  ")).join("\n")}\n`;
}

/** Reads five chunks of a paced stream, leaves, and asks the mock what it has sent since. */
async function leaving(mock, target) {
  const before = await stats(mock);
  const body = JSON.stringify({ model: "bench-model", stream: true, messages: [{ role: "user", content: "#bench chunks=150 every_us=20000#" }] });
  const got = await new Promise((resolve, reject) => {
    const call = request({ port: target.port, path: target.request.path, method: "POST", headers: { "content-type": "application/json" } }, (answer) => {
      let text = "";
      answer.on("error", () => {});
      answer.on("data", (piece) => {
        text += piece;
        const chunks = text.split('"t=').length - 1;
        if (chunks >= 5) answer.destroy() && resolve(chunks);
      });
    });
    call.on("error", reject);
    call.end(body);
  });
  for (let waited = 0; waited < 3500; waited += 50) {
    await sleep(50);
    const now = await stats(mock);
    if (now.streams_lost > before.streams_lost) return `${now.last_lost_after - got} chunks`;
    if (now.streams_done > before.streams_done) return "never: read to the end";
  }
  return "never: still open";
}

function stats(mock) {
  return new Promise((resolve, reject) => {
    get(`${mock.url}/stats`, (answer) => {
      let text = "";
      answer.on("data", (piece) => (text += piece)).on("end", () => resolve(JSON.parse(text)));
    }).on("error", reject);
  });
}
