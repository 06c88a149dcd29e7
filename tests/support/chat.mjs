// What providers say in the OpenAI chat dialect, and how the tests read it.
import { ANSWER, PROMPT } from "./common.mjs";

export const USAGE = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };

// A request for it.
export const ask = (model, more = {}) => ({ model, messages: [{ role: "user", content: `Say something about ${PROMPT}.` }], ...more });

export const completion = ({ content = `All about ${ANSWER}.`, usage = USAGE, finish_reason = "stop", ...more } = {}) => ({
  id: "chatcmpl-fake", object: "chat.completion", created: 1_700_000_000, model: "fake-2026",
  choices: [{ index: 0, message: { role: "assistant", content, refusal: null }, finish_reason, logprobs: null }],
  ...(usage === null ? {} : { usage }), system_fingerprint: "fp_fake", ...more,
});

export const data = (value) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;

export const chunk = (delta, { finish_reason = null, ...more } = {}) => ({
  id: "chatcmpl-fake", object: "chat.completion.chunk", created: 1_700_000_000, model: "fake-2026",
  choices: [{ index: 0, delta, finish_reason }], ...more,
});

// The events of a whole stream, one text each.
export function wholeStream(words = ["All ", "about ", ANSWER, "."], { usage = USAGE } = {}) {
  return [
    data(chunk({ role: "assistant", content: "" })),
    ...words.map((content) => data(chunk({ content }))),
    data(chunk({}, { finish_reason: "stop" })),
    ...(usage === null ? [] : [data({ ...chunk({}), choices: [], usage })]),
    data("[DONE]"),
  ];
}

// The data of a stream's events, parsed where they are JSON; comments apart.
export function readEvents(text) {
  const blocks = text.split(/\r?\n\r?\n/).filter((block) => block !== "");
  const dataOf = (block) => block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
  const datas = blocks.map(dataOf).filter((block) => block !== "");
  return {
    comments: blocks.filter((block) => block.startsWith(":")),
    chunks: datas.map(parsed).filter((chunk) => chunk !== undefined),
    // What is neither JSON nor the end mark.
    rubbish: datas.filter((block) => block !== "[DONE]" && parsed(block) === undefined),
    done: datas.at(-1) === "[DONE]",
  };
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const textOf = (chunks) => chunks.map((one) => one.choices?.[0]?.delta?.content ?? "").join("");

// A whole answer put together from a stream's chunks, by choice: content, tool calls, finish reason.
export function assemble(chunks) {
  const choices = new Map();
  for (const { choices: parts = [] } of chunks) {
    for (const { index = 0, delta = {}, finish_reason } of parts) {
      const choice = choices.get(index) ?? { content: "", reasoning: "", tool_calls: [], finish_reason: null };
      choices.set(index, choice);
      if (typeof delta.content === "string") choice.content += delta.content;
      choice.reasoning += delta.reasoning_content ?? delta.reasoning ?? "";
      for (const call of delta.tool_calls ?? []) choice.tool_calls.push(call);
      choice.finish_reason = finish_reason ?? choice.finish_reason;
    }
  }
  return [...choices.entries()].sort(([a], [b]) => a - b).map(([index, choice]) => ({ index, ...choice }));
}
