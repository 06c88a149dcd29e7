"""Where the price map comes from: a wheel of the PyPI package litellm, fetched by pip, or a file.

`catalog/source.json` pins the version, the SHA-256 of the map and the day on which the catalog was made
(`as_of`, which decides what is deprecated), so that the same pin gives the same catalog on any day and
machine. A map that does not match its pin is refused.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

PACKAGE = "litellm"
MEMBER = "litellm/model_prices_and_context_window_backup.json"


class SourceError(Exception):
    """The map could not be had; the message says why and what to do."""


@dataclass(frozen=True)
class Pin:
    package: str
    version: str
    member: str
    sha256: str
    as_of: str

    @staticmethod
    def load(path: Path) -> "Pin":
        return Pin(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def fetch(version: str) -> bytes:
    """The map of one published version. One named wheel for all machines: the map in it is the same in
    all of them, and pip then never has to build anything."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "abi3"]
        command += ["--platform", "manylinux_2_28_x86_64", "--dest", folder, f"{PACKAGE}=={version}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SourceError(
                f"pip could not download {PACKAGE} {version}: {last}\n"
                "Check the version and the network, or give a wheel or map with --from FILE."
            )
        return read(next(Path(folder).glob("*.whl")))


def read(path: Path) -> bytes:
    """The map from a wheel or from a JSON file."""
    if path.suffix != ".whl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(MEMBER)


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def parse(raw: bytes) -> dict:
    """The map with every price as an exact decimal; its sample entry is documentation."""
    entries = json.loads(raw, parse_float=Decimal)
    entries.pop("sample_spec", None)
    return entries
