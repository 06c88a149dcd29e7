// Whether what a client got is what the vendor said. Answers with a list of differences, each
// {field, expected, got}; an empty list is a pass.

// What a client is told of a provider's status (src/routing/fallback.rs).
const STATUS = { 400: 400, 408: 504, 413: 413, 422: 400, 429: 429, 503: 503, 504: 504, 529: 503 };
export const statusFor = (status) => STATUS[status] ?? 502;

const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

// `expected`: what the vendor said, as far as the client's format shows it. `got`: what the client's walker
// read.
export function differences(expected, got) {
  if (expected.failure !== null) return broken(expected, got);
  const found = [];
  const check = (field, one, other) => same(one, other) || found.push({ field, expected: one, got: other });
  check("failure", null, got.failure);
  check("choices", expected.choices.length, got.choices.length);
  expected.choices.forEach((choice, n) => {
    const seen = got.choices[n] ?? {};
    for (const field of ["text", "spoken", "refusal", "reasoning", "calls", "images"]) check(field, choice[field], seen[field]);
    // The gateway says how an answer ended even where its provider does not.
    if (choice.finish !== null) check("finish", choice.finish, seen.finish);
    else if (!["stop", "tool_calls"].includes(seen.finish)) check("finish", null, seen.finish);
  });
  if (expected.usage === null) check("usage is counted", true, Number.isInteger(got.usage?.prompt));
  else for (const field of Object.keys(expected.usage)) check(`usage.${field}`, expected.usage[field], got.usage?.[field]);
  return found;
}

// A stream that broke off: as an error of the stream, after what had come before it.
function broken(expected, got) {
  if (got.failure === null) return [{ field: "failure", expected: expected.failure, got: null }];
  return got.choices.flatMap((choice, n) => {
    const said = expected.choices[n]?.text ?? "";
    return said.startsWith(choice.text) ? [] : [{ field: "text before the failure", expected: said, got: choice.text }];
  });
}
