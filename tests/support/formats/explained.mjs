// Cases that cannot pass, each with its reason. A case that differs and is not here fails; an entry that
// explains nothing any more fails too.
//
//   exchange   its name, or what it begins with and `*`; client and field: one, or several with `|`, `*` is any

export const EXPLAINED = [];

// Entries that have explained something.
export const used = new Set();

const fits = (pattern, value) => pattern.split("|").some((one) => (one.endsWith("*") ? value.startsWith(one.slice(0, -1)) : one === value));

// The first entry that explains this difference.
export function explanation(name, client, { field }) {
  const found = EXPLAINED.find((entry) => fits(entry.exchange, name) && fits(entry.client ?? "*", client) && fits(entry.field ?? "*", field));
  if (found !== undefined) used.add(found);
  return found;
}
