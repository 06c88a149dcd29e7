// The suites of `npm test`, in their order: the quick ones first, and last the one that checks what the
// others recorded.
//   needs   packages (npm), build (the gateway), python (any python3), sdks (.venv), frameworks
//           (.venv-frameworks and the npm packages of tests/clients/frameworks)
//   run     (context) -> [program, args]
//   count   how its output is counted (run-suite.mjs)
import { readdirSync } from "node:fs";
import { join } from "node:path";

// Several files at once: most of their time is waiting.
const FILES_AT_ONCE = 3;

function nodeTests(root, folder, atOnce = FILES_AT_ONCE) {
  const files = readdirSync(join(root, "tests", folder)).filter((name) => name.endsWith(".test.mjs")).sort();
  return ["--test", "--test-reporter=spec", `--test-concurrency=${atOnce}`, ...files.map((name) => join("tests", folder, name))];
}

const node = (name, what, needs = ["packages", "build"]) => ({ name, what, needs, count: "node", run: ({ root, node }) => [node, nodeTests(root, name)] });

export const suites = [
  { name: "native", what: "the pure core: unit and property tests", needs: [], count: "cargo", run: ({ cargo }) => [cargo, ["test", "--locked"]] },
  { name: "sim", what: "money and limits under faults, simulated (docs/simulation.md)", needs: ["packages"], count: "cargo", run: ({ node }) => [node, ["scripts/sim.mjs", "--suite"]] },
  { name: "catalog", what: "the catalog builder", needs: ["python"], count: "unittest", run: ({ python }) => [python, ["-m", "unittest", "discover", "-s", "tests/catalog"]] },
  node("runtime", "embedded stores and the supervisor", ["packages"]),
  node("worker", "the built gateway in workerd and Miniflare, over a scripted provider"),
  {
    // Each file keeps four or five processes busy.
    name: "budgets", what: "several processes over one account, before a provider that keeps its own bill", needs: ["packages", "build"], count: "node",
    run: ({ root, node }) => [node, nodeTests(root, "budgets", 2)],
  },
  node("clients", "the vendors' SDKs in Node, against the demo"),
  {
    name: "python", what: "the vendors' SDKs in Python, against the demo", needs: ["packages", "build", "sdks"], count: "unittest",
    run: ({ node, sdks }) => [node, ["tests/clients/python.mjs", sdks]],
  },
  {
    // Each file keeps both cores busy.
    name: "formats", what: "what every provider really said, in every client's format (target/formats-report.md)", needs: ["packages", "build", "sdks"], count: "node",
    run: ({ root, node }) => [node, nodeTests(root, "formats", 1)],
  },
  {
    name: "frameworks", what: "frameworks in Node, against the demo", needs: ["packages", "build", "frameworks"], count: "node",
    run: ({ root, node }) => [node, nodeTests(root, "clients/frameworks")],
  },
  {
    name: "frameworks-python", what: "frameworks in Python, against the demo", needs: ["packages", "build", "frameworks"], count: "unittest",
    run: ({ node, frameworks }) => [node, ["tests/clients/python.mjs", frameworks, "tests/clients/frameworks"]],
  },
  node("admin", "management API and openapi.yaml, with the answers recorded by the others"),
];
