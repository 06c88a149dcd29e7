// `npm run bench`: Sluice beside the floors of its platform and beside other gateways, in one run, in front of one mock.
// What is measured and how: docs/benchmarks.md. Exit code 1 when nothing could be measured or an answer was wrong.

import { parseArgs } from "node:util";

const usage = `npm run bench -- [options]
  --rounds N       rounds (default 5)
  --seconds S      length of a cell (default 1.6)
  --quick          2 short rounds, Sluice and the JS floor only, docs not written
  --only a,b       scenarios: json-c1 json-c16 prompt-32k prompt-1m sse-c1 sse-paced sse-burst
                   translated-c16 translated-paced translated-burst translated-1m
  --targets a,b    targets: sluice sluice-budgets sluice-native floor-js floor-wasm portkey-workerd portkey-node litellm nginx
  --out DIR        where benchmarks.md and benchmarks.svg go (default docs; with a choice of scenarios or targets: nowhere)
  --formats        only what is translated, beside the floor and Portkey in workerd
  --budgets        what budgets ask of the Account object instead, and how much it takes
  --variants       compare ways for a worker to relay a stream instead
`;

const options = {
  rounds: { type: "string" }, seconds: { type: "string" }, quick: { type: "boolean" }, only: { type: "string" },
  targets: { type: "string" }, out: { type: "string" }, formats: { type: "boolean" }, budgets: { type: "boolean" }, variants: { type: "boolean" }, help: { type: "boolean" },
};

let chosen;
try {
  chosen = parseArgs({ options }).values;
} catch (error) {
  console.error(`${error.message}\n\n${usage}`);
  process.exit(2);
}
if (chosen.help) {
  console.log(usage);
  process.exit(0);
}

const list = (text) => text?.split(",").filter(Boolean);
const number = (text, fallback) => {
  const value = text === undefined ? fallback : Number(text);
  if (value > 0) return value;
  console.error(`not a positive number: ${text}\n\n${usage}`);
  process.exit(2);
};
const rounds = number(chosen.rounds, chosen.quick ? 2 : 5);
const seconds = number(chosen.seconds, chosen.quick ? 0.9 : 1.6);

async function main() {
  if (chosen.variants) {
    const { variants } = await import("../bench/lib/variants.mjs");
    await variants({ rounds, seconds });
    return 0;
  }
  if (chosen.budgets) {
    const { budgets } = await import("../bench/lib/budgets.mjs");
    return budgets({ seconds: chosen.quick ? 5 : 20 });
  }
  const { bench } = await import("../bench/lib/bench.mjs");
  const partial = chosen.quick || chosen.formats || chosen.only || chosen.targets;
  return bench({
    rounds,
    seconds,
    warmup: chosen.quick ? 0.15 : 0.3,
    only: list(chosen.only) ?? (chosen.formats ? ["translated-c16", "translated-paced", "translated-burst", "translated-1m"] : undefined),
    cold: !chosen.formats,
    targets: list(chosen.targets) ?? (chosen.formats ? ["sluice", "floor-js", "portkey-workerd"] : chosen.quick ? ["sluice", "sluice-budgets", "sluice-native", "floor-js"] : undefined),
    out: chosen.out ?? (partial ? undefined : "docs"),
  });
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error.code === "ERR_MODULE_NOT_FOUND" ? `${error.message}\nRun npm ci first.` : error.message);
  process.exit(1);
}
