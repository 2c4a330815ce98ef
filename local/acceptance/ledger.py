"""What a run is about to make, and what it made: written as it happens, so that an interrupted run can be cleaned."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self
from uuid import UUID

FILE = "made.jsonl"


class LedgerError(Exception):
    """There is no such run; the message is for the person at the terminal."""


class Ledger:
    """One run: its FHIR server, the names that are its own, and the references of what was made there.

    `studies`, `reports` (SOPInstanceUIDs of dose reports) and `patients` (PatientIDs) are noted before they are stored.
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
        """A run that starts now."""
        ledger = cls(root / run, run, fhir_url)
        ledger.directory.mkdir(parents=True)
        ledger._append([("fhir", fhir_url)])
        return ledger

    @classmethod
    def open(cls, root: Path, run: str) -> Self:
        """A run of before. A line that its end tore is passed over. Raises LedgerError."""
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
        """Of the identifiers that the run gives: nobody else has it."""
        return f"urn:uuid:{self.run}"

    @property
    def service_url(self) -> str:
        """What the DICOM service is called in FHIR. It is reached by another URL (`.invalid`: RFC 2606)."""
        return f"https://{self.run}.acceptance.invalid"

    def will_store(self, *, study: str, patient: str, report: str | None = None) -> None:
        """To be called before the instance is stored."""
        wanted = [("studies", study), ("patients", patient), *([("reports", report)] if report else [])]
        self._note(wanted)

    def was_made(self, references: Iterable[str]) -> None:
        """`Type/id` of resources that the FHIR server says it created."""
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
