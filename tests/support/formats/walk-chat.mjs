// OpenAI's chat and older completions, as all companies speak them.
// platform.openai.com/docs/api-reference/chat; what others add: docs.mistral.ai, api-docs.deepseek.com,
// openrouter.ai/docs, docs.x.ai, docs.perplexity.ai, docs.together.ai (November 2026).
import { Said, counts } from "./said.mjs";

const FINISH = {
  stop: "stop", eos: "stop", length: "length", max_tokens: "length", model_length: "length", tool_calls: "tool_calls",
  function_call: "tool_calls", content_filter: "content_filter", error: "error",
};

export function chatBody(body) {
  const said = new Said();
  if (failed(said, body)) return said.finished();
  body.choices.forEach((choice, n) => take(said.choice(choice.index ?? n), choice.message ?? {}, choice));
  said.usage = usage(body.usage);
  return said.finished();
}

export function chatChunks(chunks) {
  const said = new Said();
  for (const chunk of chunks) {
    if (failed(said, chunk)) break;
    for (const choice of chunk.choices ?? []) take(said.choice(choice.index ?? 0), choice.delta ?? {}, choice);
    said.usage = usage(chunk.usage) ?? usage(chunk.x_groq?.usage) ?? said.usage;
  }
  return said.finished();
}

export function completionsBody(body) {
  const said = new Said();
  if (failed(said, body)) return said.finished();
  for (const choice of body.choices) old(said.choice(choice.index ?? 0), choice);
  said.usage = usage(body.usage);
  return said.finished();
}

export function completionsChunks(chunks) {
  const said = new Said();
  for (const chunk of chunks) {
    if (failed(said, chunk)) break;
    for (const choice of chunk.choices ?? []) old(said.choice(choice.index ?? 0), choice);
    said.usage = usage(chunk.usage) ?? said.usage;
  }
  return said.finished();
}

function old(choice, { text, reasoning, finish_reason }) {
  choice.text += text ?? "";
  choice.reasoning += reasoning ?? "";
  end(choice, finish_reason);
}

function failed(said, { error, choices }) {
  const inside = choices?.find((choice) => choice.error)?.error;
  const found = error ?? inside;
  if (!found) return false;
  said.fails(typeof found === "string" ? found : found.message, Number(found.code) || Number(found.status_code) || null);
  return true;
}

function take(choice, message, { finish_reason, finish_details }) {
  const content = Array.isArray(message.content) ? message.content : [{ type: "text", text: message.content }];
  for (const part of content) {
    if (part.type === "text") choice.text += part.text ?? "";
    else if (part.type === "thinking") for (const thought of part.thinking) choice.reasoning += thought.text ?? "";
  }
  choice.spoken += message.audio?.transcript ?? "";
  choice.refusal += message.refusal ?? "";
  choice.reasoning += thoughts(message);
  // One after another where they have no number and each has a name; pieces by their number.
  message.tool_calls?.forEach((call, n) => {
    const begins = Boolean(call.id || call.function?.name);
    const number = call.index ?? (begins ? choice.called : n);
    choice.call(begins && call.index === undefined ? choice.called : number, call.function?.name ?? call.custom?.name, call.function?.arguments ?? call.custom?.input ?? "");
  });
  if (message.function_call) choice.call("function", message.function_call.name, message.function_call.arguments ?? "");
  choice.images += message.images?.length ?? 0;
  end(choice, finish_reason ?? finish_details?.type);
}

// The same thoughts may stand there twice, plain and as details.
function thoughts({ reasoning, reasoning_content, reasoning_details }) {
  const plain = [reasoning, reasoning_content].find((text) => typeof text === "string" && text !== "");
  if (plain !== undefined) return plain;
  return (Array.isArray(reasoning_details) ? reasoning_details : []).map(({ text, summary }) => text ?? summary ?? "").join("");
}

function end(choice, word) {
  if (word) choice.finish = FINISH[word] ?? `unknown: ${word}`;
}

// Reasoning is in the completion with OpenAI; xAI counts it beside it, Google's compatible endpoint only
// in the total; Mistral has a sound's tokens only in the total.
export function usage(said) {
  if (!Number.isInteger(said?.prompt_tokens)) return null;
  let { prompt_tokens: prompt, completion_tokens: completion = 0, total_tokens: total = 0 } = said;
  let reasoning = said.completion_tokens_details?.reasoning_tokens ?? 0;
  const beside = total - prompt - completion;
  if (beside > 0 && said.prompt_audio_seconds !== undefined) prompt += beside;
  else if (beside > 0) [completion, reasoning] = [completion + beside, beside];
  const { cached_tokens, cache_write_tokens } = said.prompt_tokens_details ?? {};
  const cached = Math.max(...[cached_tokens, said.prompt_cache_hit_tokens, said.cached_tokens, said.num_cached_tokens].map((count) => count ?? 0));
  return counts(prompt, completion, { cached, written: cache_write_tokens || said.cache_creation_input_tokens, reasoning });
}
