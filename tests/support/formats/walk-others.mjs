// Formats that only providers speak: Bedrock's Converse, Cohere's chat and Ollama's.
// docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and ..._ConverseStream.html,
// docs.cohere.com/reference/chat, docs.ollama.com/api (November 2026).
import { Said, calling, counts } from "./said.mjs";

const CONVERSE = {
  end_turn: "stop", stop_sequence: "stop", tool_use: "tool_calls", max_tokens: "length", model_context_window_exceeded: "length",
  guardrail_intervened: "content_filter", content_filtered: "content_filter",
};

export function converseBody(body) {
  const said = new Said();
  if (!body.output) said.fails(body.message ?? body.Message);
  else {
    const choice = said.choice();
    body.output.message.content.forEach((block, n) => {
      if (block.text !== undefined) choice.text += block.text;
      for (const part of block.citationsContent?.content ?? []) choice.text += part.text;
      choice.reasoning += block.reasoningContent?.reasoningText?.text ?? "";
      if (block.toolUse && ownTool(block.toolUse)) choice.call(n, block.toolUse.name, block.toolUse.input);
    });
    choice.finish = CONVERSE[body.stopReason] ?? `unknown: ${body.stopReason}`;
    said.usage = converseUsage(body.usage);
  }
  return said.finished();
}

// Tools that Bedrock runs itself carry a type.
const ownTool = ({ type }) => type === undefined || type === "tool_use";

export function converseFrames(frames) {
  const said = new Said();
  const choice = said.choice();
  const own = new Set();
  for (const { kind, name, data } of frames) {
    if (kind === "exception") {
      said.fails(data?.message);
      break;
    }
    const { contentBlockIndex: n, start, delta } = data;
    if (name === "contentBlockStart" && start?.toolUse && ownTool(start.toolUse)) {
      own.add(n);
      choice.call(n, start.toolUse.name);
    }
    if (name === "contentBlockDelta") {
      choice.text += delta.text ?? "";
      choice.reasoning += delta.reasoningContent?.text ?? "";
      if (delta.toolUse && own.has(n)) choice.call(n, undefined, delta.toolUse.input);
    }
    if (name === "messageStop") choice.finish = CONVERSE[data.stopReason] ?? `unknown: ${data.stopReason}`;
    if (name === "metadata") said.usage = converseUsage(data.usage);
  }
  return said.finished();
}

function converseUsage(usage) {
  if (usage === undefined) return null;
  const { inputTokens, outputTokens, cacheReadInputTokens: cached = 0, cacheWriteInputTokens: written = 0 } = usage;
  return counts(inputTokens + cached + written, outputTokens, { cached, written });
}

const COHERE = { COMPLETE: "stop", STOP_SEQUENCE: "stop", MAX_TOKENS: "length", TOOL_CALL: "tool_calls", ERROR: "error", TIMEOUT: "error", ERROR_TOXIC: "content_filter" };

export function cohereBody(body) {
  const said = new Said();
  if (!body.finish_reason) said.fails(typeof body.message === "string" ? body.message : body.error);
  else {
    const choice = said.choice();
    // What it means to do stands before its calls, as thoughts do.
    choice.reasoning += body.message.tool_plan ?? "";
    for (const part of body.message.content ?? []) {
      if (part.type === "text") choice.text += part.text;
      if (part.type === "thinking") choice.reasoning += part.thinking;
    }
    body.message.tool_calls?.forEach((call, n) => choice.call(n, call.function.name, call.function.arguments));
    cohereEnd(said, body);
  }
  return said.finished();
}

export function cohereEvents(events) {
  const said = new Said();
  const choice = said.choice();
  for (const { type, index, delta } of events) {
    const message = delta?.message ?? {};
    choice.reasoning += type === "tool-plan-delta" ? message.tool_plan : "";
    if (type === "content-start" || type === "content-delta") {
      choice.text += message.content.text ?? "";
      choice.reasoning += message.content.thinking ?? "";
    }
    if (type === "tool-call-start" || type === "tool-call-delta") choice.call(index, message.tool_calls.function.name, message.tool_calls.function.arguments);
    if (type === "message-end") {
      if (delta.error) said.fails(delta.error);
      cohereEnd(said, delta);
    }
  }
  return said.finished();
}

function cohereEnd(said, { finish_reason, usage }) {
  said.choice().finish = COHERE[finish_reason] ?? `unknown: ${finish_reason}`;
  // What is billed: `tokens`, and `cached_tokens` of them, count what Cohere puts around the prompt, too.
  const { input_tokens: input, output_tokens: output } = usage?.billed_units ?? usage?.tokens ?? {};
  if (usage) said.usage = counts(input, output, { reasoning: Math.min(usage.tokens?.reasoning_tokens ?? 0, output) });
}

export const ollamaBody = (body) => ollamaLines([body]);

export function ollamaLines(all) {
  const said = new Said();
  const choice = said.choice();
  for (const { error, message, done, done_reason, prompt_eval_count, eval_count } of all) {
    if (error) {
      said.fails(error);
      break;
    }
    choice.text += message?.content ?? "";
    choice.reasoning += message?.thinking ?? "";
    for (const { function: { name, arguments: input } } of message?.tool_calls ?? []) choice.call(choice.called, name, input ?? {});
    if (done) {
      choice.finish = calling(done_reason === "length" ? "length" : "stop", choice.called);
      if (eval_count !== undefined) said.usage = counts(prompt_eval_count, eval_count);
    }
  }
  return said.finished();
}
