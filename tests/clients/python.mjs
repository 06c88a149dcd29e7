// Runs the Python SDKs' tests (test_*.py beside this) against the gateway with its demo.
//   node tests/clients/python.mjs <python with the SDKs>
import { spawn } from "node:child_process";
import { once } from "node:events";
import { root } from "../support/common.mjs";
import { startDemo } from "../support/demo.mjs";

const demo = await startDemo();
try {
  const { PATH, HOME } = process.env;
  const child = spawn(process.argv[2], ["-m", "unittest", "discover", "--verbose", "-s", "tests/clients", "-p", "test_*.py"], {
    cwd: root, stdio: "inherit",
    env: { PATH, HOME, PYTHONDONTWRITEBYTECODE: "1", SLUICE_URL: demo.url, SLUICE_INFERENCE_KEY: demo.keys.inference, SLUICE_MANAGEMENT_KEY: demo.keys.management },
  });
  const [code, signal] = await once(child, "exit");
  process.exitCode = signal === null ? code : 1;
} finally {
  await demo.stop();
}
