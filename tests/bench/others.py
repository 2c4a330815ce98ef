"""What the app's CPU cost is held against besides the reference: dicom2fhir, in a process and environment of its own."""

import json
import subprocess
from dataclasses import dataclass

from local.stack import ROOT
from tests.bench.workloads import Work, instances

PYTHON = ROOT / ".venv-bench/bin/python"
_UNDIGESTED = ("00185101",)
"""ViewPosition: of a CR image it stops dicom2fhir 0.1.25, which knows codes for MG and DX only."""


@dataclass(frozen=True, slots=True)
class Dicom2Fhir:
    """`faults`: instances by the error that it stopped with."""

    work: Work
    done: int
    cpu_seconds: float
    faults: dict[str, int]


def dicom2fhir(work: Work) -> Dicom2Fhir:
    given = (json.loads(instance.metadata) for instance in instances(work))
    lines = "\n".join(json.dumps({tag: value for tag, value in one.items() if tag not in _UNDIGESTED}) for one in given)
    command = [str(PYTHON), str(ROOT / "tests/bench/dicom2fhir_baseline.py")]
    ended = subprocess.run(command, input=lines, text=True, capture_output=True, check=True)
    return Dicom2Fhir(work, **json.loads(ended.stdout.splitlines()[-1]))
