"""Modes, parameters and kinds of content of one entry of the map. The rules are rules/features.toml."""

from rules import matches, table

TABLE = table("features")
PARAMETERS = TABLE["parameters"]
ORDER = ["text", "image", "file", "audio", "video"]


def mode(entry: dict) -> tuple[dict | None, str]:
    """The row of the entry's mode, or None with the reason why the catalog does not carry it."""
    name = entry.get("mode")
    row = TABLE["modes"].get(name)
    if row is None:
        return None, f"mode {name}"
    endpoints = entry.get("supported_endpoints")
    if endpoints and row["endpoint"] not in endpoints:
        return None, "no chat completions endpoint"
    return row, ""


def supported_parameters(provider: str, upstream: str, entry: dict) -> list[str]:
    names = {*PARAMETERS["every"], *PARAMETERS["also"].get(provider, [])}
    for row in PARAMETERS["flag"]:
        if entry.get(row["flag"]) and matches(row.get("match", "*"), provider, upstream):
            names.update(row["add"])
    for row in PARAMETERS["never"]:
        applies = "flag" not in row or entry.get(row["flag"]) is row["is"]
        if applies and matches(row["match"], provider, upstream):
            names.difference_update(row["drop"])
    return sorted(names)


def modalities(mode_row: dict, entry: dict) -> tuple[set[str], set[str]]:
    takes, gives = {"text"}, set(mode_row["output"])
    for row in TABLE["modalities"]:
        if entry.get(row["flag"]):
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
