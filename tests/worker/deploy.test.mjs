// What `wrangler deploy` would upload: it bundles, without a network, to the two files that were built,
// and is small enough for a free account.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { root, scratch } from "../support/common.mjs";

const MAX_GZIPPED_BYTES = 1_500_000;

test("wrangler deploy --dry-run bundles", async () => {
  const folder = scratch();
  try {
    const { PATH, HOME } = process.env;
    const wrangler = join(root, "node_modules", "wrangler", "bin", "wrangler.js");
    const { stdout } = await promisify(execFile)(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", folder], {
      cwd: root, env: { PATH, HOME, WRANGLER_SEND_METRICS: "false", CI: "1", XDG_CONFIG_HOME: folder },
    });
    for (const binding of ["env.KV", "env.DB", "env.USAGE_QUEUE", "env.ACCOUNT", "env.CATALOG"]) assert.ok(stdout.includes(binding), `${binding} in ${stdout}`);
    const files = readdirSync(folder).filter((name) => /\.(js|mjs|wasm)$/.test(name));
    assert.equal(files.filter((name) => name.endsWith(".wasm")).length, 1, files.join());
    const wasm = files.find((name) => name.endsWith(".wasm"));
    assert.ok(readFileSync(join(folder, wasm)).equals(readFileSync(join(root, "build", "sluice.wasm"))), "the wasm that was built");
    const bytes = files.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name)), { level: 9 }).length, 0);
    assert.ok(bytes <= MAX_GZIPPED_BYTES, `${bytes} bytes gzipped`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
