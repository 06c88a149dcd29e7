// Small files of the state folder: JSON, readable by their owner only, replaced atomically, so that
// neither a crash nor a reader ever sees half of one.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { Unable } from "./settings.mjs";

export function writePrivate(file, content) {
  const draft = `${file}.${process.pid}.new`;
  writeFileSync(draft, content, { mode: 0o600 });
  renameSync(draft, file);
}

export const writeJson = (file, value) => writePrivate(file, `${JSON.stringify(value, null, 2)}\n`);

// The file's content, or null if there is no such file.
export function readJson(file) {
  if (!existsSync(file)) return null;
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Unable(`${file} is not valid JSON (${error.message}); mend it or move it away`);
  }
}
