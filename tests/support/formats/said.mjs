// What an answer says, read off its bytes: by walkers that know the vendors' documents and none of the
// code under test. The same form for what a vendor recorded and for what a client of the gateway got.
//
//   {choices: [{text, spoken, refusal, reasoning, calls: [{name, input}], finish, images}], usage, failure}
//
// spoken   the words of a sound that the model made
// finish   stop, length, tool_calls, content_filter, error, or null where the answer does not say
// usage    {prompt, completion, cached, written, reasoning}, totals with their parts in them; null where
//          the answer does not say
// failure  {message, status}, where it is an error or breaks off in one
import { parsed } from "../chat.mjs";

export class Said {
  #choices = new Map();
  usage = null;
  failure = null;

  choice(index = 0) {
    if (!this.#choices.has(index)) this.#choices.set(index, new Choice());
    return this.#choices.get(index);
  }

  fails(message, status) {
    this.failure ??= { message: message ?? null, status: status ?? null };
  }

  finished() {
    const choices = [...this.#choices.entries()].sort(([a], [b]) => a - b).map(([, choice]) => choice.finished());
    return { choices, usage: this.usage, failure: this.failure };
  }
}

class Choice {
  text = "";
  spoken = "";
  refusal = "";
  reasoning = "";
  finish = null;
  images = 0;
  #calls = new Map();

  // A call by its key in the stream; `more` is JSON text, or an object where the format has objects.
  call(key, name, more = "") {
    const call = this.#calls.get(key) ?? { name: "", input: "" };
    this.#calls.set(key, call);
    if (name) call.name = name;
    if (typeof more === "string") call.input += more;
    else call.input = more;
  }

  get called() {
    return this.#calls.size;
  }

  finished() {
    const { text, spoken, refusal, reasoning, finish, images } = this;
    const calls = [...this.#calls.values()].map(({ name, input }) => ({ name, input: read(input) }));
    return { text, spoken, refusal, reasoning, calls, finish, images };
  }
}

// Arguments as they are meant: JSON where they are, the text where they are none.
function read(input) {
  if (typeof input !== "string") return input;
  return input.trim() === "" ? {} : (parsed(input) ?? input);
}

// Of formats that have no word of their own for an answer that calls tools.
export const calling = (finish, calls) => (finish === "stop" && calls > 0 ? "tool_calls" : finish);

export const counts = (prompt, completion, { cached = 0, written = 0, reasoning = 0 } = {}) => ({
  prompt: prompt ?? 0, completion: completion ?? 0, cached: cached ?? 0, written: written ?? 0, reasoning: reasoning ?? 0,
});
