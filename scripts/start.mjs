// `npm start`: the same as `npm run serve`, with an introduction. See scripts/lib/run.mjs.
import { run } from "./lib/run.mjs";
import { introduction } from "./lib/introduction.mjs";

await run({ command: "npm start", ready: (running, settings) => console.log(introduction(running, settings)) });
