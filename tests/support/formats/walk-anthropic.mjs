// Anthropic's Messages: docs.anthropic.com/en/api/messages and .../messages-streaming (November 2026).
import { Said, counts } from "./said.mjs";

const FINISH = {
  end_turn: "stop", stop_sequence: "stop", pause_turn: "stop", compaction: "stop", tool_use: "tool_calls", max_tokens: "length",
  model_context_window_exceeded: "length", refusal: "content_filter",
};

export function anthropicBody(body) {
  const said = new Said();
  if (body.type === "error" || body.error) said.fails(body.error?.message);
  else {
    const choice = said.choice();
    body.content.forEach((block, n) => take(choice, block, n));
    if (body.stop_reason) choice.finish = FINISH[body.stop_reason] ?? `unknown: ${body.stop_reason}`;
    said.usage = used(body.usage);
  }
  return said.finished();
}

export function anthropicEvents(events) {
  const said = new Said();
  const choice = said.choice();
  let usage = {};
  for (const event of events) {
    if (event.type === "error") said.fails(event.error?.message);
    else if (event.type === "message_start") usage = event.message.usage ?? {};
    else if (event.type === "content_block_start") take(choice, event.content_block, event.index);
    else if (event.type === "content_block_delta") {
      const { delta } = event;
      if (delta.type === "text_delta") choice.text += delta.text;
      if (delta.type === "thinking_delta") choice.reasoning += delta.thinking;
      if (delta.type === "input_json_delta" && open.get(choice)?.has(event.index)) choice.call(event.index, undefined, delta.partial_json);
    } else if (event.type === "message_delta") {
      const word = event.delta.stop_reason;
      if (word) choice.finish = FINISH[word] ?? `unknown: ${word}`;
      // Totals so far; what is not said again stands as it was.
      usage = { ...usage, ...Object.fromEntries(Object.entries(event.usage ?? {}).filter(([, value]) => value !== null)) };
    }
  }
  said.usage = used(usage);
  return said.finished();
}

// Blocks of calls of the client's own tools, by choice: pieces of the provider's tools are not the client's.
const open = new WeakMap();

function take(choice, block, n) {
  if (block.type === "text") choice.text += block.text;
  if (block.type === "thinking") choice.reasoning += block.thinking;
  if (block.type === "image") choice.images += 1;
  if (block.type === "tool_use") {
    if (!open.has(choice)) open.set(choice, new Set());
    open.get(choice).add(n);
    // A stream begins with an empty object, to which pieces are added.
    choice.call(n, block.name, Object.keys(block.input ?? {}).length === 0 ? "" : block.input);
  }
}

// `input_tokens` is what was neither read from the cache nor written to it. A compaction on the way is
// charged beside the totals.
function used(usage) {
  if (usage?.input_tokens === undefined && usage?.output_tokens === undefined) return null;
  const all = [usage, ...(usage.iterations ?? []).filter(({ type }) => type === "compaction")];
  const sum = (...keys) => all.reduce((total, one) => total + keys.reduce((n, key) => n + (one[key] ?? 0), 0), 0);
  return counts(sum("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"), sum("output_tokens"), {
    cached: usage.cache_read_input_tokens, written: usage.cache_creation_input_tokens, reasoning: usage.output_tokens_details?.thinking_tokens,
  });
}
