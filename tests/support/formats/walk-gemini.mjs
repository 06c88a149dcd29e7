// Gemini: ai.google.dev/api/generate-content, cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
// (November 2026).
import { Said, calling, counts } from "./said.mjs";

const FILTERED = ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR"];
// By their numbers, as recorders that asked for numbers got them.
const NUMBERED = [null, "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER"];

export const geminiBody = (body) => geminiChunks([body]);

export function geminiChunks(chunks) {
  const said = new Said();
  for (const chunk of chunks) {
    if (chunk.error) {
      said.fails(chunk.error.message, chunk.error.code);
      break;
    }
    for (const candidate of chunk.candidates ?? []) take(said.choice(candidate.index ?? 0), candidate);
    if (chunk.promptFeedback?.blockReason) said.choice().finish = "content_filter";
    said.usage = used(chunk.usageMetadata) ?? said.usage;
  }
  const { choices, ...rest } = said.finished();
  return { ...rest, choices: choices.map((choice) => ({ ...choice, finish: calling(choice.finish, choice.calls.length) })) };
}

function take(choice, { content, finishReason }) {
  for (const part of content?.parts ?? []) {
    if (part.functionCall) take.call(choice, part.functionCall);
    else if (part.inlineData) choice.images += 1;
    else if (part.thought) choice.reasoning += part.text ?? "";
    else choice.text += part.text ?? "";
  }
  const word = typeof finishReason === "number" ? NUMBERED[finishReason] : finishReason;
  if (word && word !== "FINISH_REASON_UNSPECIFIED") choice.finish = { STOP: "stop", MAX_TOKENS: "length" }[word] ?? (FILTERED.includes(word) ? "content_filter" : "error");
}

// Whole calls, or, with streamFunctionCallArguments, pieces: a name first, then values by their JSON path,
// an empty object at the end.
take.call = (choice, call) => {
  const { name, args, partialArgs, willContinue } = call;
  const state = pieces.get(choice) ?? { key: null, input: {} };
  pieces.set(choice, state);
  const going = state.key !== null;
  if (!going && !willContinue && !partialArgs) return choice.call(choice.called, name, args ?? {});
  if (name) Object.assign(state, { key: choice.called, input: {}, strings: new Map() });
  for (const piece of partialArgs ?? []) put(state, piece);
  choice.call(state.key, name, state.input);
  if (!willContinue) state.key = null;
};
const pieces = new WeakMap();

function put({ input, strings }, { jsonPath, stringValue, numberValue, boolValue, nullValue }) {
  const keys = [...jsonPath.matchAll(/\.([^.[\]]+)|\[(?:'([^']*)'|"([^"]*)"|(\d+))\]/g)].map(([, plain, single, double, index]) => (index === undefined ? (plain ?? single ?? double) : Number(index)));
  let at = input;
  keys.slice(0, -1).forEach((key, n) => { at = at[key] ??= typeof keys[n + 1] === "number" ? [] : {}; });
  const last = keys.at(-1);
  if (stringValue !== undefined) {
    at[last] = (strings.get(jsonPath) ?? "") + stringValue;
    strings.set(jsonPath, at[last]);
  } else at[last] = numberValue ?? boolValue ?? (nullValue === undefined ? undefined : null);
}

// Thoughts are beside the candidates' tokens, and what Google's own tools read beside the prompt's.
function used(metadata) {
  if (metadata?.promptTokenCount === undefined && metadata?.candidatesTokenCount === undefined) return null;
  const { promptTokenCount: prompt = 0, toolUsePromptTokenCount: tools = 0, candidatesTokenCount: answer = 0, thoughtsTokenCount: reasoning = 0 } = metadata;
  return counts(prompt + tools, answer + reasoning, { cached: metadata.cachedContentTokenCount, reasoning });
}
