"""Price fields of the map to a `pricing` object: USD per token as exact decimal strings without exponent.

Ours to decide here: long-context prices become `overrides` (a request with more prompt tokens than
`min_prompt_tokens` pays them for all its tokens), prices that repeat another are left out, and the noise
that binary floating point left in the source is rounded away. Off-peak prices are not carried: without
them a request is charged the day price, never too little.
"""

import re
from collections import Counter
from decimal import Context, Decimal

from rules import matches, table

TABLE = table("prices")
ENDINGS = tuple(TABLE["other_tiers"]["endings"])
SEARCH = TABLE["search"]
ABOVE = re.compile(r"^(.+)_above_(\d+)k_tokens$")
# A published price has few digits; 9.499999999999999e-07 is 9.5e-07 after a trip through binary.
EXACT = Context(prec=12)


def text(price: Decimal) -> str:
    plain = format(EXACT.plus(Decimal(price)), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def names(mode: str) -> dict[str, str]:
    """Price fields of the map, and what they are called, for models of that mode."""
    return {row["field"]: row["name"] for row in TABLE["price"] if mode in row.get("modes", [mode])}


def pricing(provider: str, upstream: str, entry: dict, dropped: Counter, mode: str = "chat") -> dict | None:
    """None if there is no price for prompt or completion, or of what is not billed in tokens none at all.
    `dropped` counts price fields not carried."""
    known = names(mode)
    entry = entry | tiers(entry, known)
    base, above = {}, {}
    for field, price in entry.items():
        long_context = ABOVE.match(field)
        if field in known:
            base[known[field]] = Decimal(price)
        elif long_context and long_context[1] in known:
            above.setdefault(int(long_context[2]) * 1000, {})[known[long_context[1]]] = Decimal(price)
        elif "_cost" in field and field != SEARCH["field"]:
            dropped["prices of other service tiers" if field.endswith(ENDINGS) else field] += 1
    if "off_peak_pricing" in entry:
        dropped["off_peak_pricing"] += 1
    above |= {start: row for start, row in entry.get("overrides", [])}
    if mode not in MESSAGES:
        base = without_messages(base)
    if base.get("prompt") is None or base.get("completion") is None:
        return None
    if mode in MESSAGES:
        base |= search(provider, upstream, entry, dropped)
    result = in_order(base)
    overrides = [{"min_prompt_tokens": start} | in_order(above[start]) for start in sorted(above)]
    return result | ({"overrides": overrides} if overrides else {})


# The modes whose prices are those of prompt and completion.
MESSAGES = ("chat", "responses")


def without_messages(base: dict[str, Decimal]) -> dict[str, Decimal]:
    """Prices of a model that is not asked by messages: what it does not name is not charged, except that an
    image's tokens are all there is of its answer."""
    if not base:
        return {}
    said = {row["name"]: row["unless"] for row in TABLE["price"] if "unless" in row}
    base = {name: price for name, price in base.items() if not base.get(said.get(name))}
    return {"prompt": Decimal(0), "completion": base.get("image_output", Decimal(0))} | base


def in_order(prices: dict[str, Decimal]) -> dict[str, str]:
    result = {}
    for row in TABLE["price"] + [{"name": "web_search"}]:
        price = prices.get(row["name"]) if row["name"] not in result else None
        if price is None or (price == 0 and row["name"] not in ("prompt", "completion")):
            continue
        if "same_as" in row and price == prices.get(row["same_as"]):
            continue
        result[row["name"]] = text(price)
    return result


def tiers(entry: dict, known: dict[str, str]) -> dict:
    """`tiered_pricing` in the form of the other entries: the first range is the base price."""
    rows = entry.get("tiered_pricing")
    if not rows:
        return {}
    named = [(int(row["range"][0]), {known[f]: Decimal(p) for f, p in row.items() if f in known}) for row in rows]
    first = {field: price for field, price in rows[0].items() if field in known}
    return first | {"overrides": named[1:]}


def search(provider: str, upstream: str, entry: dict, dropped: Counter) -> dict[str, Decimal]:
    sizes = entry.get(SEARCH["field"])
    if not sizes:
        return {}
    for row in SEARCH["every_request"]:
        if matches(row["match"], provider, upstream):
            return {"request": Decimal(sizes[row["size"]])}
    if len(set(sizes.values())) > 1:
        dropped[SEARCH["field"] + " (differs by size)"] += 1
        return {}
    return {"web_search": Decimal(next(iter(sizes.values())))}


def is_zero(prices: dict, mode: str = "chat") -> bool:
    """Nothing is charged; of a model that is asked by messages, nothing for the prompt or for the answer."""
    zeros = [price == "0" for price in prices.values()]
    return prices["prompt"] == "0" or prices["completion"] == "0" if mode in MESSAGES else all(zeros)
