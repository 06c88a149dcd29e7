// Where the benchmark's files are. Everything it makes is under build/ and target/, which git ignores.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const bench = join(root, "bench");
export const cargoTarget = join(root, "target", "bench");

/** A folder below build/bench, made if missing. */
export function work(...parts) {
  const path = join(root, "build", "bench", ...parts);
  mkdirSync(path, { recursive: true });
  return path;
}
