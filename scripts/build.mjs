// Builds the gateway: Rust to wasm, wasm to an ES module, all of it to build/worker.mjs and
// build/sluice.wasm. Does nothing when nothing changed. Needs cargo and the npm packages, nothing else:
// no tool is downloaded (docs/decisions/0002).
//
//   node scripts/build.mjs [--force]
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "build");
const INPUTS = ["src", "catalog", "schema/openapi.yaml", "xtask", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo", "scripts/build.mjs", "package-lock.json"];
const WASM = "target/wasm32-unknown-unknown/release/sluice.wasm";

export async function build({ force = false, say = (line) => console.log(`build: ${line}`) } = {}) {
  const stamp = join(out, "inputs.sha256");
  const inputs = digest(INPUTS);
  const made = ["worker.mjs", "sluice.wasm"].every((name) => existsSync(join(out, name)));
  if (!force && made && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs) return { fresh: true };

  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "openapi.json"), JSON.stringify(await openapi()));
  say("compiling Rust to wasm (a minute or two the first time)");
  // unwind, in the standard library too: a panic ends one request and no other (docs/decisions/0002).
  // optimize_for_size: its sorts, one of each for every type sorted, were a fourteenth of the wasm.
  // simd128: searching bytes is ten times faster with it.
  run("cargo", ["build", "--release", "--locked", "--lib", "--target", "wasm32-unknown-unknown", "-Zbuild-std=std,panic_unwind", "-Zbuild-std-features=panic-unwind,optimize_for_size"], {
    RUSTC_BOOTSTRAP: "1",
    RUSTFLAGS: "-Cpanic=unwind -Ctarget-feature=+simd128",
  });
  say("binding the wasm to JavaScript");
  rmSync(join(out, "bindgen"), { recursive: true, force: true });
  run("cargo", ["run", "--quiet", "--locked", "-p", "xtask", "--", "bindgen", WASM, join(out, "bindgen")], { RUSTFLAGS: undefined });
  say("bundling");
  const { build: esbuild } = await import("esbuild");
  copyFileSync(join(out, "bindgen", "sluice_bg.wasm"), join(out, "sluice.wasm"));
  await esbuild({
    entryPoints: [join(root, "src", "entry.mjs")],
    outfile: join(out, "worker.mjs"),
    bundle: true,
    format: "esm",
    target: "es2024",
    minifySyntax: true,
    legalComments: "none",
    logLevel: "warning",
    external: ["cloudflare:*"],
    // openapi.json is only ever sent: as text it need not be parsed when the worker starts.
    loader: { ".json": "text" },
    plugins: [{ name: "wasm", setup: (build) => build.onResolve({ filter: /\.wasm$/ }, () => ({ path: "./sluice.wasm", external: true })) }],
  });
  writeFileSync(stamp, inputs);
  const size = (name) => gzipSync(readFileSync(join(out, name)), { level: 9 }).length;
  say(`build/worker.mjs and build/sluice.wasm: ${Math.round((size("worker.mjs") + size("sluice.wasm")) / 1024)} KB gzipped`);
  return { fresh: false };
}

async function openapi() {
  const { parse } = await import("yaml");
  return parse(readFileSync(join(root, "schema", "openapi.yaml"), "utf8"));
}

function run(program, args, env) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  if (error?.code === "ENOENT") throw new Error(`${program} is not installed; install Rust from https://rustup.rs and try again`);
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args[0]} failed`);
}

// SHA-256 over the names and bytes of all input files.
function digest(paths) {
  const hash = createHash("sha256");
  const walk = (path) => {
    const full = join(root, path);
    if (!existsSync(full)) return;
    if (statSync(full).isDirectory()) {
      for (const name of readdirSync(full).sort()) if (name !== "target") walk(`${path}/${name}`);
    } else {
      hash.update(`${path}\0`).update(readFileSync(full)).update("\0");
    }
  };
  paths.forEach(walk);
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { fresh } = await build({ force: process.argv.includes("--force") });
    if (fresh) console.log("build: nothing has changed");
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exit(1);
  }
}
