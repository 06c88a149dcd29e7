// The goals, as ratios within one run, and how each is read from a result. `at` is a measured value and its text.

import { median, ratio } from "./stats.mjs";

/** Figure of one target divided by that of another, round by round. */
const against = (figure, target, other) => ({ values }) => {
  const [above, below] = [values[figure]?.[target], values[figure]?.[other]];
  return above && below ? ratio(above, below) : NaN;
};
/** The median, over the rounds, of what it is more than another's. */
const beyond = (figure, target, other) => ({ values }) => {
  const [above, below] = [values[figure]?.[target], values[figure]?.[other]];
  return above && below ? median(above.map((value, round) => value - below[round])) : NaN;
};
const absolute = (figure, target) => ({ values }) => median(values[figure]?.[target] ?? []);

const firstRequest = (target) => ({ first }) => median(first.filter((row) => row.target === target).map(({ ms }) => ms));

export const goals = [
  { title: "CPU per request, 16 connections, to the JS floor", at: against("json-c16 cpu", "sluice", "floor-js"), most: 1.5, unit: "x" },
  { title: "CPU per request, 16 connections, to Portkey in workerd", at: against("json-c16 cpu", "sluice", "portkey-workerd"), most: 0.6, unit: "x" },
  { title: "CPU per request, 16 connections, to Portkey on Node", at: against("json-c16 cpu", "sluice", "portkey-node"), most: 0.4, unit: "x" },
  { title: "CPU per request, 16 connections, to LiteLLM", at: against("json-c16 cpu", "sluice", "litellm"), most: 0.03, unit: "x" },
  { title: "requests/s, 16 connections, to the JS floor", at: against("json-c16 rps", "sluice", "floor-js"), least: 0.68, unit: "x" },
  { title: "added time to first chunk", at: (result) => absolute("sse-c1 added", "sluice")(result) / 1000, most: 1.5, unit: "ms" },
  { title: "CPU per chunk, paced, native mode, to the JS floor", at: against("sse-paced cpu", "sluice-native", "floor-js"), most: 1.5, unit: "x" },
  { title: "CPU per chunk, burst, native mode, to the JS floor", at: against("sse-burst cpu", "sluice-native", "floor-js"), most: 1.5, unit: "x" },
  { title: "CPU per chunk, paced, cost edited in, to the JS floor", at: against("sse-paced cpu", "sluice", "floor-js"), most: 2.7, unit: "x" },
  { title: "CPU per chunk, burst, cost edited in, to the JS floor", at: against("sse-burst cpu", "sluice", "floor-js"), most: 2.7, unit: "x" },
  { title: "chunk delay p50, native mode, to the JS floor", at: against("sse-paced delay", "sluice-native", "floor-js"), most: 1.5, unit: "x" },
  { title: "chunk delay p50, cost edited in, to the JS floor", at: against("sse-paced delay", "sluice", "floor-js"), most: 1.5, unit: "x" },
  { title: "CPU per request, 32 KB prompt, to the JS floor", at: against("prompt-32k cpu", "sluice", "floor-js"), most: 1.55, unit: "x" },
  { title: "CPU per request, 1 MB prompt, to the JS floor", at: against("prompt-1m cpu", "sluice", "floor-js"), most: 1.6, unit: "x" },
  { title: "CPU per request, 16 connections, budgets on three levels, to Sluice without", at: against("json-c16 cpu", "sluice-budgets", "sluice"), most: 1.15, unit: "x" },
  { title: "CPU per request, translated, to the JS floor", at: against("translated-c16 cpu", "sluice", "floor-js"), most: 1.7, unit: "x" },
  { title: "CPU per request, translated, to Portkey in workerd", at: against("translated-c16 cpu", "sluice", "portkey-workerd"), most: 0.7, unit: "x" },
  { title: "CPU per chunk, translated, paced, to the JS floor", at: against("translated-paced cpu", "sluice", "floor-js"), most: 3.5, unit: "x" },
  { title: "CPU per chunk, translated, paced, to Portkey in workerd", at: against("translated-paced cpu", "sluice", "portkey-workerd"), most: 0.8, unit: "x" },
  { title: "CPU per chunk, translated, burst, to the JS floor", at: against("translated-burst cpu", "sluice", "floor-js"), most: 3.5, unit: "x" },
  { title: "CPU per chunk, translated, burst, to Portkey in workerd", at: against("translated-burst cpu", "sluice", "portkey-workerd"), most: 0.8, unit: "x" },
  { title: "CPU per request, translated, 1 MB prompt, beyond the JS floor", at: (result) => beyond("translated-1m cpu", "sluice", "floor-js")(result) / 1000, most: 10, unit: "ms" },
  { title: "worker, compressed", at: ({ targets }) => (targets.find(({ id }) => id === "sluice")?.size?.gzip ?? NaN) / 1024, most: 1024, unit: "KB" },
  { title: "first request of a fresh process, to the JS floor", at: (result) => firstRequest("sluice")(result) / firstRequest("floor-js")(result), most: 2, unit: "x" },
  { title: "memory after the run, to the JS floor", at: ({ memory }) => memory.sluice / memory["floor-js"], most: 1.4, unit: "x" },
];

/** Each goal with its value and verdict: true, false, or undefined when it was not measured. */
export function judge(result) {
  return goals.map((goal) => {
    const value = goal.at(result);
    const reached = Number.isFinite(value) ? (goal.most !== undefined ? value <= goal.most : value >= goal.least) : undefined;
    return { ...goal, value, reached };
  });
}
