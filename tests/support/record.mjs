// Keeps the gateway's answers for tests/admin/openapi.test.mjs: one JSON line each, a file a process.
// Without SLUICE_RECORDINGS nothing is kept.
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.SLUICE_RECORDINGS;
if (folder !== undefined) mkdirSync(folder, { recursive: true });
const MOST = 200_000;

export function record(method, url, response, text) {
  if (folder === undefined || text.length > MOST) return;
  const entry = { method, path: new URL(url).pathname, status: response.status, type: response.headers.get("content-type") ?? "", text };
  appendFileSync(join(folder, `${process.pid}.jsonl`), `${JSON.stringify(entry)}\n`);
}

// `fetch` for the vendors' SDKs that keeps what comes by.
export async function recordingFetch(input, init) {
  const response = await fetch(input, init);
  const request = input instanceof Request ? input : new Request(input, { method: init?.method });
  const copy = response.clone();
  // A stream that its reader left has no end to record.
  copy.text().then((text) => record(request.method, request.url, response, text), () => {});
  return response;
}
