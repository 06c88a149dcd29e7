// A provider that keeps its own bill: an HTTP server in the OpenAI chat dialect, plain and streamed, that
// counts what it is asked and what it says by rules of its own, in whole nano-dollars. What the gateway
// thinks must agree with that, to the nano.
//
//   prompt      one token for every four bytes of the messages' contents, begun ones counted
//   completion  what the script says, but never more than max_tokens (or max_completion_tokens)
//   bill        both at the script's prices, rounded up once; a whole answer is owed as soon as it is
//               asked for, a stream's prompt likewise and its tokens as they are sent: where the
//               connection closes it stops, and bills no more
//
// A script belongs to a model name: {prices: {prompt, completion} USD a token, length(n): tokens of its
// nth answer, extra: tokens billed beyond what it says, wait: ms before the first word, pace: ms between
// chunks, per: tokens a chunk, usage(honest): the texts of the usages it reports}.
import { once } from "node:events";
import { createServer } from "node:http";
import { pause } from "./common.mjs";

const DEFAULTS = { length: () => 20, extra: 0, wait: 0, pace: 0, per: 1, usage: (honest) => [JSON.stringify(honest)] };
// A token is four bytes of text.
const TOKEN = "tok ";

export async function startBillingProvider() {
  const scripts = new Map();
  const exchanges = [];
  const asked = (model) => exchanges.filter((exchange) => exchange.model === model);
  const running = new Map();
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString());
    const script = scripts.get(body.model);
    const exchange = begin(body, script, script.asked++);
    exchanges.push(exchange);
    const now = (running.get(body.model) ?? 0) + 1;
    running.set(body.model, now);
    script.peak = Math.max(script.peak, now);
    response.once("close", () => {
      exchange.closed = true;
      running.set(body.model, running.get(body.model) - 1);
    });
    await pause(script.wait);
    if (body.stream) await stream(exchange, script, body, response);
    else whole(exchange, script, response);
  });
  // Longer than the gateway keeps a connection: who closes first may meet the other's next request.
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", 1024);
  await once(server, "listening");
  server.unref();
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    script(model, script) { scripts.set(model, { ...DEFAULTS, ...script, asked: 0, peak: 0 }); },
    // The most at once.
    peak: (model) => scripts.get(model).peak,
    asked,
    // Nano-dollars.
    bill: (model) => asked(model).reduce((sum, exchange) => sum + exchange.nano, 0),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export const tokensOf = (messages) => Math.ceil(messages.reduce((bytes, { content }) => bytes + Buffer.byteLength(content), 0) / 4);

// Nano-dollars, from prices in USD: exact, and rounded up once.
export function cost({ prompt, completion }, prompts, completions) {
  const pico = BigInt(prompts) * picoOf(prompt) + BigInt(completions) * picoOf(completion);
  return Number((pico + 999n) / 1000n);
}

function picoOf(price) {
  const [whole, fraction = ""] = price.split(".");
  return BigInt(whole + fraction.padEnd(12, "0"));
}

function begin({ model, messages, max_tokens, max_completion_tokens, stream }, { prices, length, extra }, n) {
  const max = max_completion_tokens ?? max_tokens ?? Infinity;
  const wanted = length(n);
  return {
    model, max, id: `bill-${n}`, streamed: stream === true, prompt: tokensOf(messages), wanted: Math.min(wanted, max),
    finish: wanted > max ? "length" : "stop", sent: 0, extra, closed: false, at: Date.now(),
    get nano() { return cost(prices, this.prompt, (this.streamed ? this.sent : this.wanted) + this.extra); },
  };
}

const usageOf = ({ prompt, wanted, extra }) => ({ prompt_tokens: prompt, completion_tokens: wanted + extra, total_tokens: prompt + wanted + extra });

function whole(exchange, { usage }, response) {
  const head = {
    id: exchange.id, object: "chat.completion", created: 1_700_000_000, model: "billing",
    choices: [{ index: 0, message: { role: "assistant", content: TOKEN.repeat(exchange.wanted) }, finish_reason: exchange.finish }],
  };
  const usages = usage(usageOf(exchange)).map((text) => `,"usage":${text}`);
  response.writeHead(200, { "content-type": "application/json" });
  response.end(`${JSON.stringify(head).slice(0, -1)}${usages.join("")}}`);
}

async function stream(exchange, { pace, per, usage }, { stream_options }, response) {
  const chunk = (choices, more = "") => `data: ${JSON.stringify({ id: exchange.id, object: "chat.completion.chunk", created: 1_700_000_000, model: "billing", choices }).slice(0, -1)}${more}}\n\n`;
  if (exchange.closed) return;
  response.writeHead(200, { "content-type": "text/event-stream" });
  while (exchange.sent < exchange.wanted && !exchange.closed) {
    const tokens = Math.min(per, exchange.wanted - exchange.sent);
    exchange.sent += tokens;
    response.write(chunk([{ index: 0, delta: { content: TOKEN.repeat(tokens) }, finish_reason: null }]));
    if (pace > 0) await pause(pace);
  }
  if (exchange.closed) return;
  response.write(chunk([{ index: 0, delta: {}, finish_reason: exchange.finish }]));
  const usages = stream_options?.include_usage ? usage(usageOf(exchange)) : [];
  for (const text of usages) response.write(chunk([], `,"usage":${text}`));
  response.end("data: [DONE]\n\n");
}
