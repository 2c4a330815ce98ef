"""The sample deployments and their snapshots: `make snapshots` writes them anew, for somebody to read the difference."""

import json
import os
import sys
from pathlib import Path

from tests.infra.compiler import VERSION, Compiler

INFRA = Path(__file__).parents[2] / "infra"
SAMPLES = [*sorted((INFRA / "samples").glob("*.bicepparam")), INFRA / "main.bicepparam"]
"""The last is azd's, as its environment is empty."""


def stored(sample):
    """Where `bicep snapshot` puts it: beside the sample."""
    return sample.with_suffix(".snapshot.json")


def stored_snapshot(sample):
    """What is stored of it, read."""
    return json.loads(stored(sample).read_text())


def as_text(snapshot):
    """A snapshot as it is stored."""
    return json.dumps(snapshot, indent=2, ensure_ascii=False) + "\n"


def main():
    """Writes each; another version of the compiler would write them otherwise."""
    with Compiler(os.environ["BICEP"]) as compiler:
        if (version := compiler.version()) != VERSION:
            sys.exit(f"snapshots are of Bicep {VERSION}, this is {version}: az bicep install --version v{VERSION}")
        for sample in SAMPLES:
            stored(sample).write_text(as_text(compiler.snapshot(sample)))


if __name__ == "__main__":
    main()
