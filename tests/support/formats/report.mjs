// target/formats-report.md: every case, and why it is as it is. Not committed.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../common.mjs";
import { explanation } from "./explained.mjs";

// {passed, explained, failed}, each a list of results.
export function sort(results) {
  const sorted = { passed: [], explained: [], failed: [] };
  for (const result of results) {
    const { exchange, client, differences } = result;
    const why = differences.map((difference) => explanation(exchange.name, client, difference));
    if (differences.length === 0) sorted.passed.push(result);
    else if (why.every(Boolean)) sorted.explained.push({ ...result, why: [...new Set(why.map((entry) => entry.why))] });
    else sorted.failed.push({ ...result, differences: differences.filter((_, n) => !why[n]) });
  }
  return sorted;
}

const short = (value) => {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
};

export const lineOf = ({ exchange, client, differences }) =>
  `${exchange.name} for ${client}: ${differences.map(({ field, expected, got }) => `${field} is ${short(got)} instead of ${short(expected)}`).join("; ")}`;

export function writeReport(source, results) {
  const { passed, explained, failed } = sort(results);
  const mark = new Map();
  for (const { exchange, client, reasons } of passed) put(mark, exchange.name, client, reasons.length > 0 ? "yes*" : "yes");
  for (const { exchange, client } of explained) put(mark, exchange.name, client, "explained");
  for (const { exchange, client } of failed) put(mark, exchange.name, client, "**NO**");
  const clients = [...new Set(results.map(({ client }) => client))];
  const lines = [
    "# Formats: every recorded answer in every client's format", "",
    `${results.length} cases of ${mark.size} ${source}: ${passed.length} pass, ${explained.length} are explained, ${failed.length} fail.`, "",
    "`yes*`: all that the client's format has a place for is there; what it has none for:", "",
    ...[...new Set(passed.flatMap(({ client, reasons }) => reasons.map((reason) => `- ${client}: ${reason}`)))].sort(), "",
    `| exchange | ${clients.join(" | ")} |`, `|---|${clients.map(() => "---|").join("")}`,
    ...[...mark].map(([name, row]) => `| ${name} | ${clients.map((client) => row.get(client) ?? "-").join(" | ")} |`), "",
    "## Explained", "", ...explained.map((result) => `- ${result.exchange.name} for ${result.client}: ${result.why.join("; ")}`), "",
    "## Failed", "", ...failed.map((result) => `- ${lineOf(result)}`), "",
  ];
  mkdirSync(join(root, "target"), { recursive: true });
  writeFileSync(join(root, "target", "formats-report.md"), lines.join("\n"));
  return { passed, explained, failed };
}

function put(mark, name, client, word) {
  if (!mark.has(name)) mark.set(name, new Map());
  mark.get(name).set(client, word);
}
