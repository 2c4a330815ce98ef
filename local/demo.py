"""`make demo`: stores real DICOM, updates a study, lets the app's own timer sync it, compares FHIR with DICOM."""

import io
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from pydicom import dcmread
from rich.console import Console

from local.compare import StudyComparison, compare
from local.compare_rules import Rules
from local.comparison import print_comparison, print_verdict
from local.console import console_on_stdout
from local.failures import recorded_failures
from local.fhir_account import relative, search
from local.own_audit import audit_result
from local.samples import ct_study, dose_report, pydicom_files, with_invalid_tags
from local.stack import PortNumbers, Stack, StackOptions
from local.stow import StoreResult, store

DRAIN_SECONDS = 100
"""How long the app may take to sync the feed."""
AUDIT_SECONDS = 60
_REFERENCE_LENGTH = len("Patient/") + 8
_PARTITION = "north"
_SETTINGS = {
    "SyncSchedule": "* * * * * *",
    "DicomCast__Features__GenerateObservations": "true",
    "DicomCast__AuditRequestsPerHour": "1000000",
}
_CHANGES = {
    "00100020": {"vr": "LO", "Value": ["DEMO-301"]},
    "00081030": {"vr": "LO", "Value": ["CT Thorax, of another patient"]},
}
"""What the bulk update changes: PatientID and StudyDescription."""


def demo(ports: PortNumbers, logs: Path) -> int:
    """Runs the demo on a stack of its own. `logs`: folder of the parts' logs.

    Returns the exit code: 0 only if FHIR matches DICOM, both by the comparison and by the app's own audit.
    """
    console = console_on_stdout()
    started = time.monotonic()
    with console.status("starting the stack"), Stack(StackOptions(ports, logs, settings=_SETTINGS)) as stack:
        study = _store(console, stack)
        status = _drain(console, stack) and _move_to_other_patient(console, stack, study)
        if status is None:
            message = f"the feed is not drained after {DRAIN_SECONDS} s; see {logs / 'functions.log'}"
            console.print(message, style="red")
            return 1
        failures = recorded_failures(stack.storage_connection)
        failed = {one.sop_instance_uid for one in failures if one.is_final}
        studies = compare(stack.dicom_url, stack.fhir_url, failed, rules=Rules.of(_SETTINGS))
        says, is_well = audit_result(stack.functions_url, stack.function_key, AUDIT_SECONDS)
    print_comparison(console, studies, failures)
    _summary(console, status, studies, time.monotonic() - started)
    code = print_verdict(console, studies)
    console.print(f"the app's own audit: {says}", style="green" if is_well else "red")
    return code or int(not is_well)


def _store(console: Console, stack: Stack) -> str:
    """Stores the demo's files. Returns the StudyInstanceUID of the generated CT study."""
    console.print("storing the files inside pydicom, and one with invalid tags")
    console.print("storing a generated CT study of 300 instances and its radiation dose report")
    console.print(f"storing one of the files in the data partition {_PARTITION} too")
    ct = list(ct_study())
    with tempfile.TemporaryDirectory() as folder:
        generated = []
        for number, content in enumerate([*ct, dose_report(ct[0]), with_invalid_tags()]):
            path = Path(folder) / f"{number}.dcm"
            path.write_bytes(content)
            generated.append(path)
        files = pydicom_files()
        stored = [*store(stack.dicom_url, [*files, *generated]), *store(stack.dicom_url, files[:1], _PARTITION)]
    count = sum(one.result is StoreResult.STORED for one in stored)
    console.print(f"stored {count} instances in the DICOM service {stack.dicom_url}")
    return str(dcmread(io.BytesIO(ct[0]), stop_before_pixels=True).StudyInstanceUID)


def _move_to_other_patient(console: Console, stack: Stack, study: str) -> dict[str, Any] | None:
    """Gives the study another PatientID by a bulk update, and waits for the sync.

    Returns the app's status; None if the sync takes more than DRAIN_SECONDS.
    """
    before = _subject(stack, study)
    change = {"studyInstanceUids": [study], "changeDataset": _CHANGES}
    requests.post(f"{stack.dicom_url}/v2/studies/$bulkUpdate", json=change, timeout=60).raise_for_status()
    console.print("updated PatientID and StudyDescription of the CT study")
    status = _drain(console, stack)
    if status is not None:
        console.print(f"in FHIR the CT study moved from {before}… to {_subject(stack, study)}…")
    return status


def _subject(stack: Stack, study: str) -> str:
    """The study's subject in FHIR: `Patient/` and the first eight characters of its id, or `nobody`."""
    found = search(stack.fhir_url, "ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{study}")
    return relative(found[0]["subject"])[:_REFERENCE_LENGTH] if found else "nobody"


def _drain(console: Console, stack: Stack) -> dict[str, Any] | None:
    """Waits until all is synced. Returns the app's status; None after DRAIN_SECONDS."""
    deadline = time.monotonic() + DRAIN_SECONDS
    headers = {"x-functions-key": stack.function_key}
    with console.status("the app's timer syncs") as line:
        while time.monotonic() < deadline:
            status: dict[str, Any] = requests.get(
                f"{stack.functions_url}/api/status", headers=headers, timeout=30
            ).json()
            at, end = ((status[name] or {}).get("sequence") for name in ("watermark", "latest"))
            line.update(f"the app's timer syncs: {at} of {end} change feed entries")
            if is_drained(status):
                console.print(f"the app's timer synced {at} change feed entries")
                return status
            time.sleep(0.2)
    return None


def is_drained(status: Mapping[str, Any]) -> bool:
    """Whether the watermark is at the feed's end and no tick runs. False if the status lacks one of these."""
    watermark, latest, lease = (status[name] for name in ("watermark", "latest", "lease"))
    return bool(watermark and latest and lease) and watermark["sequence"] == latest["sequence"] and not lease["held"]


def _summary(console: Console, status: dict[str, Any], studies: list[StudyComparison], seconds: float) -> None:
    totals = status["totals"]
    console.print(
        f"{len(studies)} studies, {sum(sum(one.in_dicom.values()) for one in studies)} instances in {seconds:.0f} s: "
        f"{totals['entries']} change feed entries, {totals['fhirCalls']} FHIR calls, {totals['failed']} entries failed"
    )
