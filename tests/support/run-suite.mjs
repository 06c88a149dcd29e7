// Runs one suite, shows its output as it comes, and reads the counts from it.
import { spawn } from "node:child_process";

// A suite whose output holds no count has not run, whatever its exit status.
const counters = {
  cargo(output) {
    const rows = [...output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm)];
    return rows.length > 0 && { passed: sum(rows, 1), failed: sum(rows, 2), skipped: sum(rows, 3) };
  },
  node(output) {
    const last = (word) => Number([...output.matchAll(new RegExp(`^ℹ ${word} (\\d+)$`, "gm"))].at(-1)?.[1] ?? NaN);
    const counts = { passed: last("pass"), failed: last("fail") + last("cancelled"), skipped: last("skipped") + last("todo") };
    return !Object.values(counts).some(Number.isNaN) && counts;
  },
  unittest(output) {
    const ran = /^Ran (\d+) tests? in /m.exec(output);
    if (ran === null) return false;
    const end = /^(?:OK|FAILED)(?: \((.*)\))?$/m.exec(output)?.[1] ?? "";
    const of = (word) => Number(new RegExp(`\\b${word}=(\\d+)`).exec(end)?.[1] ?? 0);
    const failed = of("failures") + of("errors") + of("unexpected successes");
    const skipped = of("skipped") + of("expected failures");
    // Of a test with several parts each can fail.
    return { passed: Math.max(0, Number(ran[1]) - failed - skipped), failed, skipped };
  },
};

const sum = (rows, group) => rows.reduce((n, row) => n + Number(row[group]), 0);

// {name, passed, failed, skipped, seconds, note}: `note` says what is wrong beside failed tests.
export async function runSuite(suite, context) {
  console.log(`\n=== ${suite.name}: ${suite.what}\n`);
  const started = Date.now();
  const [program, args] = suite.run(context);
  const { output, how } = await run(program, args, context);
  const counts = counters[suite.count](output.replace(/\x1b\[[\d;]*m/g, "")) || { passed: 0, failed: 0, skipped: 0 };
  let note = "";
  if (counts.passed + counts.failed === 0) note = "ran no test";
  else if (how !== 0 && counts.failed === 0) note = `ended with ${how}`;
  return { name: suite.name, ...counts, failed: counts.failed + (note === "" ? 0 : 1), note, seconds: (Date.now() - started) / 1000 };
}

function run(program, args, { root, env }) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
      from.setEncoding("utf8");
      from.on("data", (text) => {
        output += text;
        to.write(text);
      });
    }
    child.once("error", (error) => resolve({ output, how: error.message }));
    child.once("close", (code, signal) => resolve({ output, how: signal ?? code }));
  });
}

// Prints the summary, its last line the total; answers with the exit status.
export function total(results) {
  const all = (key) => results.reduce((n, result) => n + result[key], 0);
  console.log("\n=== summary\n");
  for (const { name, passed, failed, skipped, seconds, note } of results) {
    const extra = [skipped > 0 ? `${skipped} skipped` : "", note].filter(Boolean).join(", ");
    console.log(`${failed > 0 ? "FAIL" : " ok "}  ${name.padEnd(8)} ${String(passed).padStart(4)} passed, ${failed} failed  ${seconds.toFixed(0).padStart(4)} s  ${extra}`);
  }
  console.log(`\n${all("passed")} passed, ${all("failed")} failed`);
  return all("failed") > 0 ? 1 : 0;
}
