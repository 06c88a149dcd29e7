// `npm run serve`: the gateway in bare workerd, for one's own machine. See scripts/lib/run.mjs.
import { run } from "./lib/run.mjs";

await run({
  command: "npm run serve",
  ready: ({ credentials, demo }, { state }) => {
    console.log(`sluice: serving ${credentials.base_url}${demo ? " with the demo providers" : ""}; keys in ${state}/credentials.json`);
  },
});
