"""Shows one study as DICOM and FHIR have it now, with a dry run of its rebuild; and searches for studies.

No other part of the app shows patient data. Nothing of it is kept, and the log names each study viewed by its
StudyInstanceUID only.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from shared.errors import DicomCastError, FeedError, UnforeseenError
from shared.mapping.held import text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.study_identity import is_study, study_identifier
from shared.mapping.transaction import identifier_query
from shared.model.change_feed import DEFAULT_PARTITION, ChangeFeedEntry
from shared.model.failures import ErrorQuery, ErrorRow, ErrorTable
from shared.model.fhir import Resource
from shared.process.log_lines import log_line
from shared.sync.bulkhead import Bulkhead, log_unforeseen
from shared.sync.ports import Ports
from shared.sync.replay.dry_rebuild import dry_rebuild
from shared.sync.replay.dry_run_server import DryRunServer
from shared.sync.status.study_search import FoundStudies, StudySearch
from shared.sync.status.study_view import StudyRead, StudyView, study_view

SECONDS = 40
"""How long all reading may take. The page waits a little longer."""
MOST_INSTANCES = 10_000
MOST_ROWS = 50

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Faults:
    """The messages of faults: what one system cannot say is no reason not to show what the others do."""

    uid: str = ""
    messages: list[str] = field(default_factory=list)

    @contextmanager
    def noted(self) -> Iterator[None]:
        try:
            with Bulkhead():
                yield
        except DicomCastError as error:
            if isinstance(error, UnforeseenError):
                log_unforeseen(error, StudyInstanceUID=self.uid)
            if (message := str(error)) not in self.messages:
                self.messages.append(message)


class StudyPage:
    """Views of studies. `fhir_url`: the base of links to what FHIR holds."""

    def __init__(self, ports: Ports, options: MappingOptions, fhir_url: str) -> None:
        self._ports = ports
        self._options = options
        self._fhir_url = fhir_url

    def view(self, uid: str, partition: str = DEFAULT_PARTITION, *, patients: bool = False) -> StudyView:
        """The study on both sides, and what a rebuild would change; `patients`: it may overwrite Patients."""
        log_line(logger, logging.INFO, "study viewed", StudyInstanceUID=uid)
        fhir, read, faults = DryRunServer(self._ports.fhir), StudyRead(), _Faults(uid)
        options = self._options.of_partition(partition)
        errors: list[ErrorRow] = []
        failures: list[str] = []
        with self._ports.deadline.within(SECONDS):
            with faults.noted():
                read = replace(read, held=_held(fhir, uid, options))
                read = replace(read, linked=_linked(fhir, read))
            with faults.noted():
                read = replace(read, entries=self._entries(uid, partition))
            with faults.noted():
                errors = self._rows(uid, partition)
            if read.held is not None and read.entries is not None:
                with faults.noted():
                    whole = (uid, partition)
                    recorded = dry_rebuild(self._ports, self._options, fhir, whole, read.entries, patients=patients)
                    failures = list(dict.fromkeys(one.message for one in recorded))
                    read = replace(read, changes=fhir.changes)
        read = replace(read, seen=list(fhir.seen.values()))
        view: StudyView | None = None
        with faults.noted():
            view = study_view(read, uid, partition, options, self._fhir_url, self._ports.now())
        view = view or study_view(StudyRead(), uid, partition, options, self._fhir_url, self._ports.now())
        return replace(view, failures=failures, errors=errors, faults=faults.messages)

    def find(self, text: str, partition: str | None) -> FoundStudies:
        """The studies with this StudyInstanceUID, accession number or PatientID; see `StudySearch`."""
        faults = _Faults()
        search = StudySearch(self._ports, self._options, text, partition)
        with self._ports.deadline.within(SECONDS):
            for question in search.questions:
                with faults.noted():
                    question()
        found = search.found(faults.messages)
        log_line(logger, logging.INFO, "studies searched for", Found=len(found.studies))
        return found

    def _entries(self, uid: str, partition: str) -> list[ChangeFeedEntry]:
        """What the archive holds of the study."""
        entries = list(islice(self._ports.archive.instances(uid, partition), MOST_INSTANCES + 1))
        if len(entries) > MOST_INSTANCES:
            raise FeedError(
                f"the study has more than {MOST_INSTANCES} instances: it is not compared while a page waits. The dry "
                "run of a replay tells whether a rebuild would write anything"
            )
        return entries

    def _rows(self, uid: str, partition: str) -> list[ErrorRow]:
        """The open rows of the study, the newest first."""
        found = [
            row
            for table in ErrorTable
            for row in self._ports.errors.page(ErrorQuery(table, study_instance_uid=uid), MOST_ROWS)
        ]
        return sorted((row for row in found if row.partition == partition), key=lambda row: -row.sequence)[:MOST_ROWS]


def _held(fhir: DryRunServer, uid: str, options: MappingOptions) -> list[Resource]:
    """The ImagingStudy, and doubles of it."""
    found = fhir.search("ImagingStudy", identifier_query(**study_identifier(options, uid)))
    return [one for one in found if is_study(one, uid, options)]


def _linked(fhir: DryRunServer, read: StudyRead) -> Resource | None:
    """The Patient that the ImagingStudy links to; None if it is on another server, or gone."""
    subject = read.held[0].get("subject") if read.held else None
    reference = text(subject.get("reference")) if isinstance(subject, dict) else ""
    return fhir.read(reference.split("/_history/")[0]) if reference.startswith("Patient/") else None
