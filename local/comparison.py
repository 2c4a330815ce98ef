"""`make compare`, and the end of the demo: compares FHIR with DICOM and prints a table of 80 columns."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import requests
from azure.core.exceptions import AzureError
from rich.console import Console
from rich.table import Table

from local.compare import StudyComparison, compare
from local.compare_rules import Rules
from local.console import console_on_stdout
from local.failures import RecordedFailure, recorded_failures
from local.fhir_account import DEFAULT_PARTITION, SearchError
from local.functions_host.settings import HostError, read_app_settings
from local.not_synced import not_synced
from local.parts import PARTS, start_command
from local.plural import number
from local.processes import StackError
from local.stack import PortNumbers, Stack, StackOptions

_WELL_SHOWN = 8  # studies without differences, the largest ones
_SHOWN_OF_UID = 8  # least number of characters
_SHOWN_OF_PATIENT_ID = 3  # characters
_ANSWER_SECONDS = 5
_PREFIX = "tablestore__tablenameprefix"


def compare_running(ports: PortNumbers, settings: Path, fhir_url: str | None) -> int:
    """Compares, on the running stack. Returns the exit code: 0 only if FHIR matches DICOM.

    `settings`: the file of the app's settings, which need not exist. `fhir_url`: base URL of a FHIR server that is not
    the stack's. Raises StackError, which names each part of the stack that does not answer.
    """
    stack = Stack(StackOptions(ports, settings.parent, fhir_url=fhir_url))
    ensure_all_answer(stack)
    try:
        given = read_app_settings(settings) if settings.exists() else {}
        rules = Rules.of(given)
        prefix = next((value for name, value in given.items() if name.lower() == _PREFIX), "")
        failures = recorded_failures(stack.storage_connection, prefix)
        failed = {one.sop_instance_uid for one in failures if one.is_final}
        unsynced = not_synced(stack.dicom_url, stack.storage_connection, prefix)
        studies = compare(stack.dicom_url, stack.fhir_url, failed, rules=rules)
        unsynced = max(unsynced, not_synced(stack.dicom_url, stack.storage_connection, prefix))
    except (requests.RequestException, AzureError) as error:
        ensure_all_answer(stack)
        raise StackError(f"FHIR and DICOM cannot be compared: {type(error).__name__}: {error}") from error
    except (SearchError, HostError, ValueError) as error:
        raise StackError(f"FHIR and DICOM cannot be compared: {error}") from error
    console = console_on_stdout()
    print_comparison(console, studies, failures)
    return print_verdict(console, studies, unsynced)


def ensure_all_answer(stack: Stack, seconds: float = _ANSWER_SECONDS) -> None:
    """Raises StackError if a part does not answer within the time; it names each, and how to start it again."""
    urls = {"dicom": f"{stack.dicom_url}/health", "fhir": f"{stack.fhir_url}/metadata"}
    urls["azurite"] = f"http://127.0.0.1:{stack.ports.table}/"
    silent = [part for part, url in urls.items() if not _answers(url, seconds)]
    if len(silent) == len(urls):
        raise StackError("nothing of the stack answers: start it with `make run`, in another terminal")
    messages = [f"the {PARTS[part]} does not answer at {urls[part]}: {_how_to_restart(stack, part)}" for part in silent]
    if messages:
        raise StackError("\n".join(messages))


def _how_to_restart(stack: Stack, part: str) -> str:
    if part not in stack.parts:
        return "see to it, and compare again"
    return f"start it again with `{start_command(part, stack.ports.option)}`; where it runs and hangs, stop it first"


def _answers(url: str, seconds: float) -> bool:
    """Whether the URL is answered, with any status: a FHIR server may demand authentication."""
    try:
        requests.get(url, timeout=seconds, stream=True).close()
    except requests.RequestException:
        return False
    return True


def print_comparison(console: Console, studies: Sequence[StudyComparison], failures: Sequence[RecordedFailure]) -> None:
    """Prints the table of studies, how many more there are, and a table of why entries failed."""
    shown, left_out = chosen_to_show(studies)
    console.print(studies_table(shown, short_uids({one.study_instance_uid for one in studies})))
    if left_out:
        console.print(f"and {number(left_out, 'more study that is ok', 'more studies that are ok')}")
    if failures:
        console.print(_failures_table(failures))


def print_verdict(console: Console, studies: Sequence[StudyComparison], unsynced: int = 0) -> int:
    """Prints the result in a last line. Returns the exit code: 1 if a study differs, else 0.

    `unsynced`: how many entries of the change feed were not synced when FHIR was read.
    """
    different = sum(bool(one.differences) for one in studies)
    failed = sum(bool(one.failed) for one in studies if not one.differences)
    ok = len(studies) - different - failed
    all_of_them, differ = number(len(studies), "study", "studies"), "differs" if different == 1 else "differ"
    console.print(f"{all_of_them}: {different} {differ}, {failed} with failed entries, {ok} ok")
    if different:
        differing = number(different, "study differs", "studies differ")
        console.print(f"FHIR does not match DICOM: {differing}", style="red")
        if unsynced:
            wait = number(unsynced, "entry of the change feed waits", "entries of the change feed wait")
            console.print(f"that is expected: {wait}; compare again afterwards", style="yellow")
        return 1
    exceptions = ["the entries that are recorded as failed"] if failed else []
    exceptions += ["what is another's in FHIR"] if any(one.stays for one in studies) else []
    console.print(f"FHIR matches DICOM{', but for ' if exceptions else ''}{' and '.join(exceptions)}", style="green")
    return 0


def chosen_to_show(studies: Sequence[StudyComparison]) -> tuple[list[StudyComparison], int]:
    """The studies to show, and how many are left out.

    First those that differ, then those with failed entries, then those with values of another system, all of them; then
    the largest of the others.
    """

    def rank(one: StudyComparison) -> tuple[bool, bool, bool, int]:
        return not one.differences, not one.failed, not one.stays, -sum(one.in_dicom.values())

    ordered = sorted(studies, key=rank)
    not_well = sum(bool(one.differences or one.failed or one.stays) for one in studies)
    shown = ordered[: not_well + _WELL_SHOWN]
    return shown, len(ordered) - len(shown)


def short_uids(uids: Collection[str]) -> Mapping[str, str]:
    """By UID its shortest end that no other UID has, after an ellipsis; UIDs of one vendor begin alike."""
    ends = Counter(uid[-length:] for uid in uids for length in range(1, len(uid) + 1))
    return {uid: _shortest_unique_end(uid, ends) for uid in uids}


def _shortest_unique_end(uid: str, ends: Mapping[str, int]) -> str:
    for length in range(_SHOWN_OF_UID, len(uid)):
        if ends[uid[-length:]] == 1:
            return f"…{uid[-length:]}"
    return uid


def studies_table(studies: Sequence[StudyComparison], names: Mapping[str, str]) -> Table:
    """A row for each study; a count of FHIR is shown only if it is not that of DICOM. `names`: by StudyInstanceUID."""
    with_partition = any(one.partition != DEFAULT_PARTITION for one in studies)
    columns = ("study", *(["part."] if with_partition else []), "patient", "mod.", "series", "inst.", "dose", "")
    table = Table(*columns, padding=0)
    for one in studies:
        partition = [one.partition if one.partition != DEFAULT_PARTITION else ""] if with_partition else []
        table.add_row(
            names[one.study_instance_uid],
            *partition,
            f"…{one.patient_id[-_SHOWN_OF_PATIENT_ID:]}" if one.patient_id else "",
            " ".join(one.modalities),
            _both_counts(len(one.in_dicom), len(one.in_fhir)),
            _both_counts(sum(one.in_dicom.values()), sum(one.in_fhir.values())),
            str(one.observations or ""),
            state_of(one),
        )
    return table


def state_of(study: StudyComparison) -> str:
    """The study's last column: its differences and failed entries, or `ok`; then what another system wrote."""
    failed = [f"{study.failed} failed"] if study.failed else []
    return "; ".join([*(study.differences + tuple(failed) or ("ok",)), *study.stays])


def _both_counts(in_dicom: int, in_fhir: int) -> str:
    return str(in_dicom) if in_dicom == in_fhir else f"{in_dicom}, FHIR {in_fhir}"


def _failures_table(failures: Sequence[RecordedFailure]) -> Table:
    table = Table("entries", "recorded in", "reason", padding=0)
    for (name, reason), count in Counter((one.table, one.reason) for one in failures).most_common():
        table.add_row(str(count), name.removesuffix("ExceptionTable"), reason)
    return table
