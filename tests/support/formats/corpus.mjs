// Recorded traffic of real providers, read where it lies (SLUICE_CORPUS, ../shared/corpus beside the
// project) and never copied. Without it a few exchanges of our own stand in.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { root } from "../common.mjs";
import { standIns } from "./stand-ins.mjs";

export const folder = resolve(root, process.env.SLUICE_CORPUS ?? "../shared/corpus");
export const recorded = existsSync(folder);

// Every exchange of these wire formats: {name, provider, dialect, stream, framing, features, request, response}.
export function exchanges(...dialects) {
  const all = recorded ? read() : standIns();
  return all.filter(({ dialect }) => dialects.includes(dialect));
}

// What the tests' output says of the cases they ran on.
export const source = recorded ? "recorded exchanges" : `exchanges of our own (no corpus at ${folder})`;

let known;
function read() {
  known ??= readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap(({ name }) =>
    readdirSync(join(folder, name)).sort().map((file) => exchange(JSON.parse(readFileSync(join(folder, name, file), "utf8")))));
  return known;
}

const exchange = ({ id, provider, ...more }) => ({ name: `${provider}/${id}`, provider, ...more });
