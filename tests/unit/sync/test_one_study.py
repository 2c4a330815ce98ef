"""One study alone: what is told of it, and that it ends."""

import pytest

from shared.errors import ConflictError, PagingError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import ErrorTable
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.transact.parts import MAX_PARTS
from tests.dose_reports import ct, ct_event
from tests.fakes import STUDY, FakeArchive, FakeFhir, entry, ports, report_entry

OPTIONS = MappingOptions("https://dicom.example.org", generate_observations=True)


def run(fhir, *entries, whole=None):
    archive = {"archive": FakeArchive({STUDY: entries})} if whole else {}
    (outcome,) = StudySync(ports(entries, fhir=fhir, **archive), OPTIONS).run_all([Study(entries, whole=whole)])
    return outcome


def held(fhir, resource_type):
    return [one for one in fhir.resources if one["resourceType"] == resource_type]


def test_a_rebuild_whose_delete_is_refused_says_so():
    """There is no entry to tell of: DICOM holds nothing of the study. It is cancelled and empty."""

    class Keeping(FakeFhir):
        def transact(self, bundle):
            if any(one["request"]["method"] == "DELETE" for one in bundle["entry"]):
                raise ConflictError("FHIR server: conflict, status 409; it names DiagnosticReport/2", status=409)
            return super().transact(bundle)

    fhir = Keeping()
    run(fhir, entry(1))
    (row,) = run(fhir, whole=(STUDY, DEFAULT_PARTITION)).failures
    assert (row.table, row.exception, row.study_instance_uid) == (ErrorTable.FHIR, "DeleteRefusedError", STUDY)
    assert "DiagnosticReport/2" in row.message
    (study,) = held(fhir, "ImagingStudy")
    assert (study["status"], study.get("series")) == ("cancelled", None)


def test_pages_that_cannot_be_followed_are_their_reports_fault():
    """The images of the study are synced; the entry whose Observations cannot be read is recorded."""

    class Endless(FakeFhir):
        def search(self, resource_type, query):
            if resource_type == "Observation":
                raise PagingError("FHIR server: a link to the next page leads to one read before")
            return super().search(resource_type, query)

    report = report_entry(ct(ct_event(1)), 3)
    study = report.study_instance_uid
    images = [entry(n, study=study, series="1.9", instance=f"1.9.{n}") for n in (1, 2)]
    fhir = Endless()
    result = run(fhir, *images, report)
    assert [(row.table, row.sequence) for row in result.failures if row.is_final] == [(ErrorTable.FHIR, 3)]
    assert [len(one["instance"]) for one in held(fhir, "ImagingStudy")[0]["series"]] == [2]


@pytest.mark.parametrize("events", [MAX_PARTS - 2, MAX_PARTS])
def test_a_study_of_endless_parts_waits_for_the_next_tick(events):
    """So many parts are written in one go; the next go finds them, and writes the rest."""
    report = report_entry(ct(*(ct_event(number, event_uid=f"1.2.9.{number}") for number in range(1, events + 1))))
    fhir = FakeFhir(most=1)
    first = run(fhir, report)
    if isinstance(first, TransientError):
        assert run(fhir, report).wrote
    assert len(held(fhir, "Observation")) == events + 1
    assert isinstance(first, TransientError) is (events + 1 + 2 > MAX_PARTS)
    assert not run(fhir, report).wrote
