// The vendors' own SDKs for Node as clients: each asks, lets the SDK parse and put together what comes, and
// answers with what it says (said.mjs). Errors are the SDK's own.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { completionsBody, completionsChunks, chatBody, chatChunks } from "./walk-chat.mjs";
import { responsesBody } from "./walk-responses.mjs";
import { anthropicBody } from "./walk-anthropic.mjs";
import { geminiChunks } from "./walk-gemini.mjs";

const MOST = 4096;
const openai = (url, apiKey) => new OpenAI({ baseURL: url, apiKey, maxRetries: 0 });

async function listed(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

// What the SDK puts together, but for members that OpenAI does not have: of those it keeps the last piece.
async function chatStream(runner) {
  const chunks = [];
  runner.on("chunk", (chunk) => chunks.push(structuredClone(chunk)));
  const whole = chatBody(await runner.finalChatCompletion());
  const { choices } = chatChunks(chunks);
  return { ...whole, choices: whole.choices.map((choice, n) => ({ ...choice, reasoning: choices[n].reasoning, images: choices[n].images })) };
}

// By client format: (url, key, model, prompt, stream) -> said.
export const SDKS = {
  chat: async (url, key, model, prompt, stream) => {
    const { chat } = openai(`${url}/v1`, key);
    const request = { model, messages: [{ role: "user", content: prompt }] };
    return stream ? chatStream(chat.completions.stream(request)) : chatBody(await chat.completions.create(request));
  },
  completions: async (url, key, model, prompt, stream) => {
    const { completions } = openai(`${url}/v1`, key);
    const answer = await completions.create({ model, prompt, stream });
    return stream ? completionsChunks(await listed(answer)) : completionsBody(answer);
  },
  responses: async (url, key, model, prompt, stream) => {
    const { responses } = openai(`${url}/v1`, key);
    const request = { model, input: prompt, store: false };
    return responsesBody(stream ? await responses.stream(request).finalResponse() : await responses.create(request));
  },
  messages: async (url, key, model, prompt, stream) => {
    const { messages } = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
    const request = { model, max_tokens: MOST, messages: [{ role: "user", content: prompt }] };
    return anthropicBody(stream ? await messages.stream(request).finalMessage() : await messages.create(request));
  },
  gemini: async (url, key, model, prompt, stream) => {
    const { models } = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url, apiVersion: "v1beta" } });
    const request = { model, contents: prompt };
    return geminiChunks(stream ? await listed(await models.generateContentStream(request)) : [await models.generateContent(request)]);
  },
};

// The HTTP status of an error of an SDK; an error in mid-stream has none.
export const statusOf = (error) => error.status ?? null;
