// Runs seeds of the simulator in wasm, over node:sqlite, and prints the hashes of their traces.
//
//   node scripts/sim/wasm.mjs <folder of the bound wasm> <seed,seed,...> <steps>
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";

const [folder, seeds, steps] = process.argv.slice(2);
const databases = new Map();

// What sim/src/store.rs asks of its host.
globalThis.simHost = {
  open() {
    const number = databases.size + 1;
    databases.set(number, { database: new DatabaseSync(":memory:"), statements: new Map() });
    return number;
  },
  close(number) {
    databases.get(number).database.close();
  },
  script(number, text) {
    databases.get(number).database.exec(text);
  },
  run(number, text, params) {
    const { database, statements } = databases.get(number);
    try {
      let statement = statements.get(text);
      if (statement === undefined) {
        statement = database.prepare(text);
        statements.set(text, statement);
      }
      // Numbered parameters are bound by name; SQLite numbers a statement's own from 1.
      const values = JSON.parse(params).map((value) => (Number.isInteger(value) ? BigInt(value) : value));
      return JSON.stringify({ rows: statement.all(...values) });
    } catch (error) {
      return JSON.stringify({ error: String(error) });
    }
  },
};

// Node imports no wasm without a flag: the module is given to the glue as what it would have imported.
globalThis.simModule = new WebAssembly.Module(readFileSync(join(folder, "sluice_bg.wasm")));
const glue = readFileSync(join(folder, "sluice.js"), "utf8");
const file = join(folder, "sim.mjs");
writeFileSync(file, glue.replace(/^import wasmModule from .*$/m, "const wasmModule = globalThis.simModule;"));
const { simulate, trace } = await import(pathToFileURL(file));
if (process.env.SIM_TRACE !== undefined) console.log(trace(Number(seeds), Number(steps)));
for (const seed of seeds.split(",")) console.log(`${seed} ${simulate(Number(seed), Number(steps))}`);
