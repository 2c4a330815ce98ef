"""The ledger of a run: a file of what it will store and has made, so that an interrupted run can be cleaned up."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self
from uuid import UUID

FILE = "made.jsonl"


class LedgerError(Exception):
    """There is no such run. The message is for the person at the terminal."""


class Ledger:
    """One run: its FHIR server, the names that only this run has, and what was made there.

    `studies` (StudyInstanceUIDs), `reports` (SOPInstanceUIDs of dose reports) and `patients` (PatientIDs) are written
    before they are stored. `made`: `Type/id` of resources. Each is an ordered set. Threads may share a ledger.
    """

    def __init__(self, directory: Path, run: str, fhir_url: str) -> None:
        self.directory = directory
        self.run = run
        self.fhir_url = fhir_url
        self.studies: dict[str, None] = {}
        self.reports: dict[str, None] = {}
        self.patients: dict[str, None] = {}
        self.made: dict[str, None] = {}
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, root: Path, run: str, fhir_url: str) -> Self:
        """The ledger of a new run, with a new folder under `root`."""
        ledger = cls(root / run, run, fhir_url)
        ledger.directory.mkdir(parents=True)
        ledger._append([("fhir", fhir_url)])
        return ledger

    @classmethod
    def open(cls, root: Path, run: str) -> Self:
        """The ledger of an earlier run. A line that was not written in full is skipped. Raises LedgerError."""
        try:
            lines = (root / str(UUID(run)) / FILE).read_text(encoding="utf-8").splitlines()
            fhir_url = json.loads(lines[0])["fhir"]
        except (ValueError, OSError, IndexError, KeyError):
            raise LedgerError(f"there is no run {run} under {root}") from None
        ledger = cls(root / run, run, fhir_url)
        for line in lines[1:]:
            try:
                ((kind, name),) = json.loads(line).items()
            except ValueError:
                continue
            getattr(ledger, kind)[name] = None
        return ledger

    @property
    def system(self) -> str:
        """The system of the run's own identifiers."""
        return f"urn:uuid:{self.run}"

    @property
    def service_url(self) -> str:
        """The DICOM service's URL in FHIR, which only names it (`.invalid`: RFC 2606): the app calls it by another."""
        return f"https://{self.run}.acceptance.invalid"

    def will_store(self, *, study: str, patient: str, report: str | None = None) -> None:
        """Notes names before an instance with them is stored. `report`: if the instance is a dose report, its UID."""
        wanted = [("studies", study), ("patients", patient), *([("reports", report)] if report else [])]
        self._note(wanted)

    def was_made(self, references: Iterable[str]) -> None:
        """Notes the references, `Type/id`, of resources that the FHIR server has created."""
        self._note([("made", one) for one in references])

    def _note(self, wanted: list[tuple[str, str]]) -> None:
        with self._lock:
            new = [(kind, name) for kind, name in wanted if name not in getattr(self, kind)]
            self._append(new)
            for kind, name in new:
                getattr(self, kind)[name] = None

    def _append(self, lines: list[tuple[str, str]]) -> None:
        with (self.directory / FILE).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({kind: name}) + "\n" for kind, name in lines)
