// `npm run serve` of the gateway as it is built now, for the tests, which build it once beforehand.
import { join } from "node:path";
import { run } from "../../scripts/lib/run.mjs";
import { root } from "./common.mjs";

await run({
  command: "npm test",
  build: join(root, "build"),
  wrangler: process.env.SLUICE_TEST_WRANGLER,
  ready: ({ credentials }) => console.log(`ready ${credentials.base_url}`),
});
