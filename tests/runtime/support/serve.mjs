// `serve` with the probe worker in the gateway's place.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../../../scripts/lib/run.mjs";

const here = dirname(fileURLToPath(import.meta.url));
await run({
  command: "npm run serve",
  build: join(here, "probe"),
  wrangler: join(here, "wrangler.toml"),
  ready: ({ credentials, demo }) => console.log(`ready ${JSON.stringify({ base_url: credentials.base_url, demo })}`),
});
