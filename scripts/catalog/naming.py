"""A provider's model name to `author/slug`, variant and number format. The rules are rules/names.toml and
rules/sources.toml; this file only applies them, in the order that names.toml states."""

import re
from dataclasses import dataclass

from rules import table

NAMES = table("names")
REWRITES = [(re.compile(row["from"]), row["to"]) for row in NAMES["rewrites"]]
# A dated snapshot: gpt-4o-2024-08-06, claude-opus-4.5-20251101.
SNAPSHOT = re.compile(r"-(20\d\d)-?(\d\d)-?(\d\d)$")
SIZE = re.compile(r"^[a-z]?\d+(\.\d+)?[bkmtv]$")


@dataclass(frozen=True)
class Identity:
    id: str
    variant: str | None = None
    quantization: str | None = None

    @property
    def tag(self) -> str | None:
        """The part of an endpoint's tag after the provider."""
        return self.variant or self.quantization


def upstream_name(source: dict, key: str, keys) -> str:
    """The name to send to the provider, for a key of the map. Of two names for the same thing the long one
    is kept, so that both entries of the map end up as one endpoint."""
    prefix = source.get("prefix", "")
    name = key.removeprefix(prefix)
    folders = source.get("expand", [])
    if "/" in name or not folders:
        return name
    known = (folder + name for folder in folders if prefix + folder + name in keys)
    return next(known, folders[0] + name)


def chosen(source: dict, key: str, keys) -> bool:
    """Whether this is the name by which the model is called, of those that differ only in where it is computed."""
    profiles = source.get("profiles")
    if profiles is None:
        return True
    own = next(profile for profile in sorted(profiles, key=len, reverse=True) if key.startswith(profile))
    base = key.removeprefix(own)
    return own == next((profile for profile in source["here"] if profile + base in keys), None)


def identify(source: dict, upstream: str) -> Identity | None:
    """None where nobody can say whose model it is."""
    exception = NAMES["upstreams"].get(f"{source['slug']}:{upstream}")
    if exception:
        return Identity(*exception.split(" "))
    name = upstream
    for folder in source.get("path", []) + source.get("profiles", []):
        name = name.removeprefix(folder) if folder else name
    if "strip" in source:
        name = re.sub(source["strip"], "", name)
    if "separator" in source:
        author, _, name = name.lower().partition(source["separator"])
    else:
        author, _, name = name.lower().rpartition("/")
    author = NAMES["authors"].get(author, author) or family(name) or source.get("author")
    if not author or "/" in author:
        return None
    name, variant = take_ending(name, source.get("variants", []))
    name, quantization = take_ending(name, NAMES["quantizations"])
    id = f"{author}/{name}"
    for pattern, to in REWRITES:
        id = pattern.sub(to, id)
    return Identity(NAMES["ids"].get(id, id), variant, quantization)


def family(name: str) -> str | None:
    return next((row["author"] for row in NAMES["families"] if name.startswith(row["name"])), None)


def take_ending(name: str, endings: list[str]) -> tuple[str, str | None]:
    for ending in endings:
        if name.endswith("-" + ending):
            return name.removesuffix("-" + ending), ending
    return name, None


def snapshot_day(id: str) -> tuple[int, int, int] | None:
    found = SNAPSHOT.search(id)
    return tuple(map(int, found.groups())) if found else None


def display_name(id: str) -> str:
    author, slug = id.split("/", 1)
    day = snapshot_day(slug)
    words = [word_name(word) for word in SNAPSHOT.sub("", slug).split("-")]
    suffix = " ({:04}-{:02}-{:02})".format(*day) if day else ""
    return f"{NAMES['author_names'].get(author, author)}: {' '.join(words)}{suffix}"


def word_name(word: str) -> str:
    return NAMES["words"].get(word) or (word.upper() if SIZE.match(word) else word.capitalize())
