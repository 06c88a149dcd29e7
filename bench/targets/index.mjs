// Every target, in the order of the report. A target has id, title, note, cold (whether its first request is measured),
// prepare({mock}) where something must be made first, and start({mock}) giving a fresh, running process:
// {port, pid, request, size?, version?, stop}; fresh() does the same where start() would warm the process.
// One with `scenarios` takes part in those only. A running one takes part in translated scenarios if it has `translated`:
// what differs there ({request}, or another {port, pid}); `answers` of a request says in which format its answers come.
// One with `modeOf` is another way to ask the process of that target.

import * as floorJs from "./floor-js.mjs";
import * as floorWasm from "./floor-wasm.mjs";
import * as litellm from "./litellm.mjs";
import * as nginx from "./nginx.mjs";
import { portkeyNode, portkeyWorkerd } from "./portkey.mjs";
import { sluice, sluiceBudgets, sluiceNative } from "./sluice.mjs";

export const all = [sluice, sluiceBudgets, sluiceNative, floorJs, floorWasm, portkeyWorkerd, portkeyNode, litellm, nginx];
