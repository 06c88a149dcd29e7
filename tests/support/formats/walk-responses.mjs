// OpenAI's Responses: platform.openai.com/docs/api-reference/responses (November 2026).
import { Said, calling, counts } from "./said.mjs";

// Calls of the client's tools; others are of tools that the provider runs.
const CALLS = ["function_call", "custom_tool_call"];

export function responsesBody(body) {
  const said = new Said();
  if (body.error || body.status === "failed") said.fails(body.error?.message, Number(body.error?.code) || null);
  else whole(said, body);
  return said.finished();
}

function whole(said, body) {
  const choice = said.choice();
  (body.output ?? []).forEach((item, n) => {
    if (item.type === "message") {
      for (const part of item.content ?? []) {
        if (part.type === "output_text") choice.text += part.text;
        if (part.type === "refusal") choice.refusal += part.refusal;
      }
    }
    if (item.type === "reasoning") choice.reasoning += thoughts(item);
    if (item.type === "function_call") choice.call(n, item.name, item.arguments ?? "");
    if (item.type === "custom_tool_call") choice.call(n, item.name, item.input ?? "");
    if (item.type === "image_generation_call") choice.images += 1;
  });
  end(said, choice, body);
}

// What a client sees who shows each piece as it comes: deltas, not the items repeated at their end.
export function responsesEvents(events) {
  const said = new Said();
  const choice = said.choice();
  // Where nothing came in pieces, the items that are done tell.
  const told = new Set();
  const summaries = new Map();
  for (const event of events) {
    const { type, output_index: n } = event;
    if (type === "response.output_text.delta") choice.text += event.delta;
    else if (type === "response.refusal.delta") choice.refusal += event.delta;
    else if (type === "response.reasoning_text.delta" || type === "response.reasoning_summary_text.delta") {
      // Paragraphs of a summary are set apart in the item; here by their number.
      const place = `${n} ${event.summary_index ?? event.content_index}`;
      if (summaries.has(n) && summaries.get(n) !== place) choice.reasoning += "\n\n";
      summaries.set(n, place);
      choice.reasoning += event.delta;
    } else if (type === "response.function_call_arguments.delta" || type === "response.custom_tool_call_input.delta") {
      choice.call(n, undefined, event.delta);
      told.add(n);
    } else if (type === "response.output_item.added" && CALLS.includes(event.item.type)) choice.call(n, event.item.name);
    else if (type === "response.output_item.done") {
      const { item } = event;
      if (CALLS.includes(item.type)) choice.call(n, item.name, told.has(n) ? "" : (item.arguments ?? item.input ?? ""));
      if (item.type === "reasoning" && !summaries.has(n)) choice.reasoning += thoughts(item);
      if (item.type === "image_generation_call") choice.images += 1;
    } else if (type === "error") said.fails(event.message ?? event.error?.message, Number(event.code ?? event.error?.code) || null);
    else if (type === "response.failed") said.fails(event.response.error?.message, Number(event.response.error?.code) || null);
    else if (type === "response.completed" || type === "response.incomplete") end(said, choice, event.response);
  }
  return said.finished();
}

function thoughts({ content, summary }) {
  const texts = (list) => (list ?? []).map(({ text }) => text ?? "");
  const plain = texts(content).join("\n\n");
  return plain === "" ? texts(summary).join("\n\n") : plain;
}

function end(said, choice, { status, incomplete_details: why, usage }) {
  const finish = { completed: "stop", incomplete: why?.reason === "content_filter" ? "content_filter" : "length", cancelled: "error" }[status];
  // llama.cpp and others leave the status out.
  choice.finish = calling(status === undefined ? "stop" : (finish ?? null), choice.called);
  said.usage = used(usage);
}

// Reasoning is among the output tokens, or beside them, which the total tells.
function used(usage) {
  if (usage?.input_tokens === undefined) return null;
  const { input_tokens: input, total_tokens: total, input_tokens_details: read, output_tokens_details: wrote } = usage;
  const reasoning = wrote?.reasoning_tokens ?? 0;
  const beside = reasoning > 0 && total === input + usage.output_tokens + reasoning;
  return counts(input, usage.output_tokens + (beside ? reasoning : 0), { cached: read?.cached_tokens, written: read?.cache_write_tokens, reasoning });
}
