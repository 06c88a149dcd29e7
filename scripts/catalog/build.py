#!/usr/bin/env python3
"""Builds catalog/models.jsonl, the models and prices that the gateway ships with.

    npm run catalog                       the version pinned in catalog/source.json
    npm run catalog -- --version 1.110.0  another version of the package, which becomes the pin
    npm run catalog -- --from FILE        a wheel or a price map on disk

The output is a function of the map, the rules in scripts/catalog/rules and the day `as_of`: the same input
gives the same bytes. Fields of a line: docs/catalog.md. What is left out is counted, with the reason, in the
report on standard output; nothing is left out without one.
"""

import argparse
import calendar
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import features  # noqa: E402
import naming  # noqa: E402
import pricing  # noqa: E402
import source  # noqa: E402
from rules import matches, table  # noqa: E402

CATALOG = Path(__file__).parents[2] / "catalog"
SOURCES = table("sources")
SKIP = table("skip")


@dataclass
class Report:
    skipped: dict = field(default_factory=lambda: defaultdict(list))
    dropped_prices: Counter = field(default_factory=Counter)

    def skip(self, reason: str, key: str) -> None:
        self.skipped[reason].append(key)


def build(entries: dict, as_of: str, report: Report) -> list[dict]:
    """All models, sorted by the bytes of their id, endpoints by those of their tag."""
    offers = defaultdict(dict)
    kinds = {}
    # What is asked by messages comes first: a model of another kind with the same name is left out.
    for key in sorted(entries, key=lambda key: (entries[key].get("mode") != "chat", key)):
        made = offer(key, entries, as_of, report)
        if made is None:
            continue
        identity, endpoint, takes_gives, kind = made
        if kinds.setdefault(identity.id, kind) != kind:
            report.skip("model of another kind with the same name", key)
            continue
        known = offers[identity.id].setdefault(endpoint["tag"], (endpoint, takes_gives))
        if known[0] is not endpoint:
            same = known[0] == endpoint
            report.skip("second name of the same endpoint" if same else "second endpoint with the same tag", key)
    return [model(id, [offers[id][tag] for tag in sorted(offers[id])]) for id in sorted(offers, key=str.encode)]


def offer(key: str, entries: dict, as_of: str, report: Report):
    """One entry of the map as an endpoint, or None with the reason noted."""
    entry = entries[key]
    rule = SOURCES.get(entry.get("litellm_provider"))
    if rule is None:
        return report.skip("provider not in the catalog", key)
    provider, upstream = rule["slug"], naming.upstream_name(rule, key, entries)
    if rule.get("bare") and "/" in upstream:
        return report.skip("price of one region or size", key)
    if not any(matches(f"name:{pattern}", "name", upstream) for pattern in rule.get("only", ["*"])):
        return report.skip("at an address or in a format that the provider's row does not speak", key)
    mode, reason = features.mode(provider, entry)
    if mode is None:
        return report.skip(reason, key)
    if (entry.get("deprecation_date") or "9999") <= as_of:
        return report.skip("deprecated", key)
    if not naming.chosen(rule, key, entries):
        return report.skip("inference profile of another region, or beside a wider one", key)
    for row in SKIP["skip"]:
        kept = any(matches(pattern, provider, upstream) for pattern in row.get("but", []))
        if matches(row["match"], provider, upstream) and not kept:
            return report.skip(row["reason"], key)
    listed = rule.get("listed")
    if listed and not any(matches(f"source:{pattern}", "source", entry.get("source", "")) for pattern in listed):
        return report.skip("not among the provider's public models", key)
    prices = pricing.pricing(provider, upstream, entry, report.dropped_prices, mode)
    if prices is None:
        return report.skip("no price", key)
    if pricing.is_zero(prices, mode) and not any(matches(free, provider, upstream) for free in SKIP["free"]):
        return report.skip("price of zero that the provider does not confirm", key)
    identity = naming.identify(rule, upstream)
    if identity is None:
        return report.skip("author unknown", key)
    row = endpoint(provider, upstream, identity, entry, prices, mode)
    kind = "messages" if mode in pricing.MESSAGES else mode
    return identity, row, features.modalities(mode, entry), kind


def endpoint(
    provider: str, upstream: str, identity: naming.Identity, entry: dict, prices: dict, mode: str
) -> dict:
    row = {
        "provider": provider,
        "tag": f"{provider}/{identity.tag}" if identity.tag else provider,
        "upstream_model": upstream,
        "quantization": identity.quantization,
        "context_length": whole(entry.get("max_input_tokens")),
        "max_completion_tokens": whole(entry.get("max_output_tokens")),
        "pricing": prices,
        "supported_parameters": features.supported_parameters(provider, upstream, entry, mode),
        "quirks": features.quirks(provider, upstream, mode) or None,
        "expiration_date": entry.get("deprecation_date"),
    }
    return {name: value for name, value in row.items() if value is not None}


def model(id: str, offers: list) -> dict:
    endpoints = [row for row, _ in offers]
    takes = set().union(*(takes for _, (takes, _) in offers))
    gives = set().union(*(gives for _, (_, gives) in offers))
    lengths = [row["context_length"] for row in endpoints if "context_length" in row]
    days = [row.get("expiration_date") for row in endpoints]
    day = naming.snapshot_day(id)
    row = {
        "id": id,
        "name": naming.display_name(id),
        "created": calendar.timegm((*day, 0, 0, 0)) if day else None,
        "context_length": max(lengths, default=None),
        "architecture": features.architecture(takes, gives),
        "expiration_date": max(days) if all(days) else None,
        "endpoints": endpoints,
    }
    return {name: value for name, value in row.items() if value is not None}


def whole(number) -> int | None:
    return int(number) if number else None


def lines(models: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in models)


def print_report(models: list[dict], report: Report, verbose: bool) -> None:
    per_provider = Counter(row["provider"] for one in models for row in one["endpoints"])
    print(f"models {len(models)}, endpoints {per_provider.total()}, "
          f"models with several providers {sum(len({e['provider'] for e in m['endpoints']}) > 1 for m in models)}")
    print("\nendpoints by provider")
    for provider, count in sorted(per_provider.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:5} {provider}")
    print("\nleft out, by reason")
    for reason, keys in sorted(report.skipped.items(), key=lambda item: (-len(item[1]), item[0])):
        print(f"  {len(keys):5} {reason}")
        if verbose:
            print("".join(f"          {key}\n" for key in keys), end="")
    print("\nprice fields not carried (of the entries that are)")
    for name, count in sorted(report.dropped_prices.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:5} {name}")


def main() -> None:
    options = argparse.ArgumentParser(description="Build catalog/models.jsonl from a public price map.")
    options.add_argument("--version", help="version of the PyPI package litellm; becomes the pin")
    options.add_argument("--from", dest="file", type=Path, help="a wheel or price map on disk, instead of a download")
    options.add_argument("--as-of", type=date.fromisoformat, help="day (YYYY-MM-DD) that decides what is deprecated")
    options.add_argument("--out", type=Path, default=CATALOG, help="folder for models.jsonl and source.json")
    options.add_argument("--verbose", action="store_true", help="name every entry that is left out")
    given = options.parse_args()

    pin = source.Pin.load(CATALOG / "source.json")
    version = given.version or ("" if given.file else pin.version)
    if not given.file and not version:
        sys.exit("catalog: source.json pins no version (it was made from a file); give --version")
    try:
        raw = source.read(given.file) if given.file else source.fetch(version)
    except (source.SourceError, OSError, KeyError) as error:
        sys.exit(f"catalog: {error}")
    pinned = not given.file and version == pin.version
    if pinned and source.digest(raw) != pin.sha256:
        sys.exit(f"catalog: the map of {source.PACKAGE} {version} is not the pinned one (SHA-256 differs)")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    as_of = str(given.as_of or (pin.as_of if pinned else today))

    report = Report()
    models = build(source.parse(raw), as_of, report)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "models.jsonl").write_text(lines(models), encoding="utf-8")
    source.Pin(source.PACKAGE, version, source.MEMBER, source.digest(raw), as_of).save(given.out / "source.json")
    print(f"{source.PACKAGE} {version or given.file}, as of {as_of}")
    print_report(models, report, given.verbose)


if __name__ == "__main__":
    main()
