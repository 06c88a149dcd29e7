"""The rule tables of scripts/catalog/rules/*.toml, read once, and the glob that they share."""

import sys
from fnmatch import fnmatchcase
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("the catalog builder needs Python 3.11 or newer (it reads TOML with the standard library)")

import tomllib

FOLDER = Path(__file__).parent / "rules"


def table(name: str) -> dict:
    with open(FOLDER / f"{name}.toml", "rb") as file:
        return tomllib.load(file)


def matches(pattern: str, provider: str, upstream: str) -> bool:
    """Does `provider:upstream` match the glob? Case counts: model names are opaque to us."""
    return fnmatchcase(f"{provider}:{upstream}", pattern)
