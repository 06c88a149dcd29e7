// Runs the Python tests (test_*.py) of a folder against the gateway with its demo.
//   node tests/clients/python.mjs <python with what they need> [folder, tests/clients if none is named]
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { root } from "../support/common.mjs";
import { startDemo } from "../support/demo.mjs";

const [python, folder = "tests/clients"] = process.argv.slice(2);
const demo = await startDemo();
try {
  const { PATH, HOME } = process.env;
  const child = spawn(python, ["-m", "unittest", "discover", "--verbose", "-s", folder, "-p", "test_*.py"], {
    cwd: root, stdio: "inherit",
    env: {
      PATH, HOME, PYTHONDONTWRITEBYTECODE: "1", PYTHONPATH: join(root, "tests", "clients"),
      SLUICE_URL: demo.url, SLUICE_INFERENCE_KEY: demo.keys.inference, SLUICE_MANAGEMENT_KEY: demo.keys.management,
    },
  });
  const [code, signal] = await once(child, "exit");
  process.exitCode = signal === null ? code : 1;
} finally {
  await demo.stop();
}
