"""`make demo`: stores real DICOM, lets the app's own timer sync it, and compares FHIR with DICOM."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from local.compare import Instances, StudyComparison, compare
from local.failures import RecordedFailure, recorded_failures
from local.samples import ct_study, pydicom_files, with_invalid_tags
from local.stack import Ports, Stack, StackOptions
from local.stow import Fate, store

DRAIN_SECONDS = 100
_SHOWN_OF_PATIENT_ID = 3  # characters
_WIDTH = 120  # characters, where there is no terminal to ask
_EVERY_SECOND = {"SyncSchedule": "* * * * * *"}


def demo(ports: Ports, logs: Path) -> int:
    """The exit code: 0 only if FHIR says what DICOM holds."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    started = time.monotonic()
    with console.status("starting the stack"), Stack(StackOptions(ports, logs, settings=_EVERY_SECOND)) as stack:
        stored = _store(console, stack)
        console.print(f"stored {stored} instances in the DICOM service {stack.dicom_url}")
        status = _drain(console, stack)
        if status is None:
            console.print(f"[red]the feed is not drained after {DRAIN_SECONDS} s; see {logs / 'functions.log'}[/red]")
            return 1
        failures = recorded_failures(stack.storage_connection)
        studies = compare(stack.dicom_url, stack.fhir_url, {one.sop_instance_uid for one in failures if one.is_final})
    console.print(_studies_table(studies))
    if failures:
        console.print(_failures_table(failures))
    _summary(console, status, studies, time.monotonic() - started)
    return 0 if not any(one.differences for one in studies) else 1


def _store(console: Console, stack: Stack) -> int:
    console.print("storing the files inside pydicom, a generated CT study of 300 instances, and one with invalid tags")
    with tempfile.TemporaryDirectory() as folder:
        generated = []
        for number, content in enumerate([*ct_study(), with_invalid_tags()]):
            path = Path(folder) / f"{number}.dcm"
            path.write_bytes(content)
            generated.append(path)
        return sum(one.fate is Fate.STORED for one in store(stack.dicom_url, [*pydicom_files(), *generated]))


def _drain(console: Console, stack: Stack) -> dict[str, Any] | None:
    """The app's status once the watermark stands at the feed's end and the tick is told; None where that takes long."""
    deadline = time.monotonic() + DRAIN_SECONDS
    headers = {"x-functions-key": stack.function_key}
    with console.status("the app's timer syncs") as line:
        while time.monotonic() < deadline:
            status: dict[str, Any] = requests.get(
                f"{stack.functions_url}/api/status", headers=headers, timeout=30
            ).json()
            at, end = status["watermark"]["sequence"], (status["latest"] or {}).get("sequence")
            line.update(f"the app's timer syncs: {at} of {end} change feed entries")
            if at == end and not status["lease"]["held"]:
                console.print(f"the app's timer synced {at} change feed entries")
                return status
            time.sleep(0.2)
    return None


def _studies_table(studies: list[StudyComparison]) -> Table:
    table = Table("study", "patient", "modality", "series", "in FHIR", "instances", "in FHIR", "failed", "")
    for one in studies:
        table.add_row(
            f"…{one.study_instance_uid[-12:]}",
            f"…{one.patient_id[-_SHOWN_OF_PATIENT_ID:]}" if one.patient_id else "",
            " ".join(one.modalities),
            str(len(one.in_dicom)),
            str(len(one.in_fhir)),
            str(_count(one.in_dicom)),
            str(_count(one.in_fhir)),
            str(one.failed or ""),
            "; ".join(one.differences) or "ok",
        )
    return table


def _failures_table(failures: list[RecordedFailure]) -> Table:
    table = Table("entries", "recorded in", "reason")
    for (name, reason), count in Counter((one.table, one.reason) for one in failures).most_common():
        table.add_row(str(count), name, reason)
    return table


def _summary(console: Console, status: dict[str, Any], studies: list[StudyComparison], seconds: float) -> None:
    different = sum(bool(one.differences) for one in studies)
    totals = status["totals"]
    console.print(
        f"{len(studies)} studies, {sum(_count(one.in_dicom) for one in studies)} instances in {seconds:.0f} s: "
        f"{totals['entries']} change feed entries, {totals['fhirCalls']} FHIR calls, {totals['failed']} entries failed"
    )
    console.print(f"[red]{different} studies differ[/red]" if different else "[green]FHIR matches DICOM[/green]")


def _count(instances: Instances) -> int:
    return sum(map(len, instances.values()))
