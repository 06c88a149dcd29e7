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

// `fetch` for the vendors' SDKs that keeps what comes by. Bodies pass through, so that a reader who
// leaves is felt by the gateway; a stream that was left is not kept.
export async function recordingFetch(input, init) {
  const response = await fetch(input, init);
  if (response.body === null) return response;
  const request = input instanceof Request ? input : new Request(input, { method: init?.method });
  const parts = [];
  const tap = new TransformStream({
    transform(part, controller) {
      parts.push(part);
      controller.enqueue(part);
    },
    flush: () => record(request.method, request.url, response, Buffer.concat(parts).toString()),
  });
  return new Response(response.body.pipeThrough(tap), { status: response.status, statusText: response.statusText, headers: response.headers });
}
