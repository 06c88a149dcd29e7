"""Modes, parameters and kinds of content of one entry of the map. The rules are rules/features.toml."""

from rules import matches, table

TABLE = table("features")
PARAMETERS = TABLE["parameters"]
ORDER = ["text", "image", "file", "audio", "video", "embeddings", "rerank", "speech", "transcription", "moderation"]


def mode(provider: str, entry: dict) -> tuple[str | None, str]:
    """The entry's mode, or None with the reason why the catalog does not carry it."""
    name = entry.get("mode")
    row = TABLE["modes"].get(name)
    if row is None:
        return None, f"mode {name}"
    if provider in row.get("as_chat", []):
        name, row = "chat", TABLE["modes"]["chat"]
    if provider not in row.get("providers", [provider]):
        return None, f"mode {name}, not served by this provider's row"
    endpoints = entry.get("supported_endpoints")
    if endpoints and row["endpoint"] not in endpoints:
        return None, f"no endpoint {row['endpoint']}"
    if row["endpoint"] == "/v1/chat/completions" and entry["mode"] != "chat" and not endpoints:
        return None, "not asked by messages"
    return name, ""


def supported_parameters(provider: str, upstream: str, entry: dict, mode: str) -> list[str]:
    own = TABLE["modes"][mode].get("parameters")
    if own is not None or mode not in ("chat", "responses"):
        own = own or {}
        return sorted({*own.get("every", []), *own.get(provider, [])})
    names = {*PARAMETERS["every"], *PARAMETERS["also"].get(provider, [])}
    for row in PARAMETERS["flag"]:
        if entry.get(row["flag"]) and matches(row.get("match", "*"), provider, upstream):
            names.update(row["add"])
    for row in PARAMETERS["never"]:
        applies = "flag" not in row or entry.get(row["flag"]) is row["is"]
        if applies and matches(row["match"], provider, upstream):
            names.difference_update(row["drop"])
    return sorted(names.difference(TABLE["modes"][mode].get("never", [])))


def quirks(provider: str, upstream: str, mode: str) -> list[str]:
    """The endpoint's oddities beside its provider's."""
    named = {name for row in TABLE["quirks"] if matches(row["match"], provider, upstream) for name in row["add"]}
    return sorted(named.union(TABLE["modes"][mode].get("quirks", [])))


def modalities(mode: str, entry: dict) -> tuple[set[str], set[str]]:
    row = TABLE["modes"][mode]
    takes, gives = set(row.get("input", ["text"])), set(row["output"])
    messages = mode in ("chat", "responses")
    for row in TABLE["modalities"]:
        if entry.get(row["flag"]) and (messages or "input" in row):
            takes.update([row["input"]] if "input" in row else [])
            gives.update([row["output"]] if "output" in row else [])
    return takes, gives


def architecture(takes: set[str], gives: set[str]) -> dict:
    takes, gives = sorted(takes, key=ORDER.index), sorted(gives, key=ORDER.index)
    return {
        "modality": f"{'+'.join(takes)}->{'+'.join(gives)}",
        "input_modalities": takes,
        "output_modalities": gives,
    }
