// What is measured: each cell is one closed loop of the load client. Names are used by --only and in the results.
// Where it is `translated`, the client speaks OpenAI's chat and the upstream Anthropic's Messages: targets that translate do
// so, the others pass the same bytes on.

export const scenarios = [
  { id: "json-c1", title: "short JSON, 1 connection", load: { connections: 1 } },
  { id: "json-c16", title: "short JSON, 16 connections", load: { connections: 16 } },
  { id: "prompt-32k", title: "32 KB prompt, 8 connections", load: { connections: 8, "prompt-bytes": 32 << 10 } },
  { id: "prompt-1m", title: "1 MB prompt, 2 connections", load: { connections: 2, "prompt-bytes": 1 << 20 } },
  { id: "sse-c1", title: "one stream, 10 chunks 5 ms apart", load: { connections: 1, chunks: 10, "every-us": 5000 } },
  { id: "sse-paced", title: "16 streams, 100 chunks 5 ms apart", load: { connections: 16, chunks: 100, "every-us": 5000 } },
  { id: "sse-burst", title: "4 streams, 1000 chunks at once", load: { connections: 4, chunks: 1000, "every-us": 0 } },
  { id: "translated-c16", title: "chat to Anthropic, short JSON, 16 connections", translated: true, load: { connections: 16 } },
  { id: "translated-paced", title: "Anthropic to chat, 16 streams, 100 chunks 5 ms apart", translated: true, load: { connections: 16, chunks: 100, "every-us": 5000 } },
  { id: "translated-burst", title: "Anthropic to chat, 4 streams, 1000 chunks at once", translated: true, load: { connections: 4, chunks: 1000, "every-us": 0 } },
  { id: "translated-1m", title: "chat to Anthropic, 1 MB prompt, 2 connections", translated: true, load: { connections: 2, "prompt-bytes": 1 << 20 } },
];

const perRequest = (cell) => cell.cpu_us / cell.requests;
const perChunk = (cell) => cell.cpu_us / cell.chunks;

// Figures taken from the cells. `added` is what direct takes in the same round, subtracted; `more` says that more is better.
export const figures = [
  { id: "json-c1 cpu", scenario: "json-c1", title: "CPU per request, 1 connection", unit: "us", of: perRequest },
  { id: "json-c16 cpu", scenario: "json-c16", title: "CPU per request, 16 connections", unit: "us", of: perRequest },
  { id: "prompt-32k cpu", scenario: "prompt-32k", title: "CPU per request, 32 KB prompt", unit: "us", of: perRequest },
  { id: "prompt-1m cpu", scenario: "prompt-1m", title: "CPU per request, 1 MB prompt", unit: "us", of: perRequest },
  { id: "sse-paced cpu", scenario: "sse-paced", title: "CPU per chunk, paced", unit: "us", of: perChunk },
  { id: "sse-burst cpu", scenario: "sse-burst", title: "CPU per chunk, burst", unit: "us", of: perChunk },
  { id: "translated-c16 cpu", scenario: "translated-c16", title: "CPU per request, translated, 16 connections", unit: "us", of: perRequest },
  { id: "translated-1m cpu", scenario: "translated-1m", title: "CPU per request, translated, 1 MB prompt", unit: "us", of: perRequest },
  { id: "translated-paced cpu", scenario: "translated-paced", title: "CPU per chunk, translated, paced", unit: "us", of: perChunk },
  { id: "translated-burst cpu", scenario: "translated-burst", title: "CPU per chunk, translated, burst", unit: "us", of: perChunk },
  { id: "json-c1 added", scenario: "json-c1", title: "added p50, 1 connection", unit: "us", added: true, of: (cell) => cell.latency_us.p50 },
  { id: "json-c1 added p99", scenario: "json-c1", title: "added p99, 1 connection", unit: "us", added: true, of: (cell) => cell.latency_us.p99 },
  { id: "json-c16 added", scenario: "json-c16", title: "added p50, 16 connections", unit: "us", added: true, of: (cell) => cell.latency_us.p50 },
  { id: "json-c16 rps", scenario: "json-c16", title: "requests/s, 16 connections", unit: "/s", more: true, direct: true, of: (cell) => cell.requests / cell.seconds },
  { id: "sse-c1 added", scenario: "sse-c1", title: "added time to first chunk", unit: "us", added: true, of: (cell) => cell.first_chunk_us.p50 },
  { id: "sse-paced delay", scenario: "sse-paced", title: "chunk delay p50, 16 streams", unit: "us", direct: true, of: (cell) => cell.chunk_delay_us.p50 },
  { id: "sse-paced delay p99", scenario: "sse-paced", title: "chunk delay p99, 16 streams", unit: "us", direct: true, of: (cell) => cell.chunk_delay_us.p99 },
];
