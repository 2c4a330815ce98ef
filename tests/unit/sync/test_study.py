"""One study: what is read, what is sent, and what becomes of entries that cannot be synced."""

import gc
import json

import pytest

from shared.errors import ConflictError, FhirRefusedError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable
from shared.sync.map.mapped_entries import Changes
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.transact.one_study import MAX_CONFLICTS
from tests.dose_reports import ct, ct_event
from tests.fakes import FakeFhir, entry, is_of_endpoint, ports, report_entry

OPTIONS = MappingOptions("https://dicom.example.org")


def deleted(sequence, **uids):
    return entry(sequence, Action.DELETE, state=State.DELETED, **uids)


def run(fhir, *entries):
    """What becomes of one study."""
    (outcome,) = StudySync(ports(entries, fhir=fhir), OPTIONS).run_all([Study(entries)])
    return outcome


def held(fhir, resource_type):
    return [one for one in fhir.resources if one["resourceType"] == resource_type]


def test_a_study_is_one_transaction():
    """Not four calls per instance: three searches and one bundle for all of them; the Endpoint is made once, before."""
    fhir = FakeFhir()
    result = run(fhir, *(entry(n, instance=f"1.{n}") for n in range(1, 51)))
    assert result.wrote
    assert [[one["request"]["url"] for one in bundle["entry"]] for bundle in fhir.bundles] == [
        ["Patient", "ImagingStudy"]
    ]
    (study,) = held(fhir, "ImagingStudy")
    assert study["subject"] == {"reference": "Patient/1"}
    assert study["endpoint"] == [{"reference": "Endpoint/1"}]
    assert len(study["series"][0]["instance"]) == 50


def test_the_same_again_writes_nothing():
    """Delivery is at least once; the effect is once."""
    fhir = FakeFhir()
    run(fhir, entry(1))
    assert not run(fhir, entry(1)).wrote
    assert len(fhir.bundles) == 1


@pytest.mark.parametrize("alone", [True, False])
def test_what_was_mapped_is_let_go_with_its_study(alone):
    """A batch of 20,000 studies has no memory for all of it: the sync holds what is under way."""
    entries = [entry(n, study=f"1.2.19.{n}") for n in range(1, 3)]
    sync = StudySync(ports(entries, fhir=FakeFhir()), OPTIONS)
    for group in [entries[:1], entries[1:]] if alone else [entries]:
        assert all(outcome.wrote for outcome in sync.run_all([Study([one]) for one in group]))
    held = [one.study_instance_uid for one in gc.get_objects() if isinstance(one, Changes)]
    assert not {one.study_instance_uid for one in entries} & set(held)


def test_a_create_whose_instance_is_gone_is_skipped():
    """There is nothing to map, and its delete follows in the feed."""
    fhir = FakeFhir()
    assert not run(fhir, entry(1, state=State.DELETED)).wrote
    assert fhir.calls == 0


def test_a_delete_whose_instance_was_stored_again_is_skipped():
    """It carries the new instance's metadata; its create follows in the feed."""
    fhir = FakeFhir()
    run(fhir, entry(1))
    assert not run(fhir, entry(2, Action.DELETE, state=State.REPLACED)).wrote
    assert held(fhir, "ImagingStudy")


def test_created_and_deleted_in_one_batch_is_nothing():
    """Of several entries of one instance only the last matters."""
    fhir = FakeFhir()
    run(fhir, entry(1, state=State.DELETED), deleted(2))
    assert not fhir.resources


def test_the_last_delete_takes_our_study():
    """We made it, so it goes; Patient and Endpoint stay."""
    fhir = FakeFhir()
    run(fhir, entry(1))
    assert run(fhir, deleted(2)).wrote
    assert {one["resourceType"] for one in fhir.resources} == {"Patient", "Endpoint"}


def test_the_last_delete_leaves_the_study_of_others():
    """Somebody else made it, for reasons of his own."""
    fhir = FakeFhir()
    run(fhir, entry(1))
    held(fhir, "ImagingStudy")[0]["meta"]["source"] = "https://ris.example.org"
    run(fhir, deleted(2))
    (study,) = held(fhir, "ImagingStudy")
    assert "series" not in study


def test_one_bad_entry_harms_itself_alone():
    """It is recorded, the rest of its study goes on."""
    fhir = FakeFhir()
    result = run(fhir, entry(1, instance="1.1"), entry(2, instance="1.2", t00100020=None), entry(3, instance="1.3"))
    assert [(row.table, row.sequence, row.exception) for row in result.failures] == [
        (ErrorTable.DICOM, 2, "InvalidDicomTagError")
    ]
    assert [one["uid"] for one in held(fhir, "ImagingStudy")[0]["series"][0]["instance"]] == ["1.1", "1.3"]


class Picky(FakeFhir):
    """Refuses every bundle that speaks of one of these instances."""

    def __init__(self, *refused):
        super().__init__()
        self.refused, self.attempts = refused, 0

    def transact(self, bundle):
        self.attempts += not is_of_endpoint(bundle)
        if any(f'"{uid}"' in json.dumps(bundle) for uid in self.refused):
            raise FhirRefusedError("status 422")
        return super().transact(bundle)


@pytest.mark.parametrize("bad", [(), (1,), (64,), (17, 40)])
def test_a_refused_bundle_is_narrowed_down(bad):
    """Only the entries to blame are recorded, in the feed's order; the rest of the study is written."""
    fhir = Picky(*(f"1.2.{n}" for n in bad))
    result = run(fhir, *(entry(n, instance=f"1.2.{n}") for n in range(1, 65)))
    assert [(row.table, row.sequence, row.message) for row in result.failures] == [
        (ErrorTable.FHIR, n, "status 422") for n in bad
    ]
    assert len(held(fhir, "ImagingStudy")[0]["series"][0]["instance"]) == 64 - len(bad)
    assert fhir.attempts <= 1 + 2 * 6 * len(bad)


def test_a_refused_entry_alone_is_recorded():
    """The FHIR server's word is final for it."""
    result = run(FakeFhir(faults=[FhirRefusedError("status 422")]), entry(1))
    assert (result.wrote, [row.sequence for row in result.failures]) == (False, [1])


def test_two_matches_are_never_a_pick_of_the_first():
    """The row names both, so that a person can mend it."""
    twins = [{"resourceType": "Patient", "id": id_, "identifier": [{"value": "P-1"}]} for id_ in "ab"]  # no meta at all
    fhir = FakeFhir(resources=twins)
    (row,) = run(fhir, entry(1)).failures
    assert (row.table, row.exception) == (ErrorTable.FHIR, "MultipleMatchingResourcesError")
    assert "Patient/a, Patient/b" in row.message


def test_a_match_that_lacks_the_identifier_is_none():
    """A server that ignores the parameter answers with everything; no stranger's record is written over."""

    class Careless(FakeFhir):
        def found(self, resource_type, query):
            return [one for one in self.resources if one["resourceType"] == resource_type]

    stranger = {"resourceType": "Patient", "id": "s", "identifier": [{"value": "P-2"}], "meta": {"versionId": "1"}}
    fhir = Careless(resources=[stranger])
    assert isinstance(run(fhir, entry(1)), ConflictError), "the fake's conditional create is as careless"
    assert stranger == {
        "resourceType": "Patient",
        "id": "s",
        "identifier": [{"value": "P-2"}],
        "meta": {"versionId": "1"},
    }


def test_a_conflict_is_read_and_merged_again():
    """412: somebody else wrote first."""
    fhir = FakeFhir(faults=[ConflictError("412"), ConflictError("412"), None])
    assert run(fhir, entry(1)).wrote
    assert len(held(fhir, "ImagingStudy")) == 1


def test_a_create_that_found_another_is_merged_again():
    """200 from a conditional create: what we sent was not written."""

    class Racing(FakeFhir):
        def transact(self, bundle):
            if not self.bundles and not is_of_endpoint(bundle):
                self.resources.append(
                    {"resourceType": "Patient", "id": "1", "identifier": [{"value": "P-1"}], "meta": {"versionId": "1"}}
                )
            return super().transact(bundle)

    fhir = Racing()
    assert run(fhir, entry(1, t00100040="F")).wrote
    assert held(fhir, "Patient")[0]["gender"] == "female"


def test_endless_conflicts_wait_for_the_next_tick():
    """Five times, then it is a transient fault."""
    fhir = FakeFhir(faults=[ConflictError("412")] * MAX_CONFLICTS)
    assert isinstance(run(fhir, entry(1)), TransientError)
    assert fhir.faults == []


def test_a_passing_fault_is_the_batchs_to_judge():
    """Nothing is recorded, nothing skipped; an outage is not one study's."""
    fault = TransientError("503")
    assert run(FakeFhir(faults=[fault]), entry(1)) is fault
    with pytest.raises(OutageError):
        run(FakeFhir(faults=[OutageError("FHIR server", "401")]), entry(1))


def test_a_report_of_another_patient_is_his():
    """The study is the last instance's patient's; an Observation says whose dose it is, as its report does."""
    options = MappingOptions("https://dicom.example.org", generate_observations=True)
    report = report_entry(ct(ct_event(1), PatientID="P-2"), 1)
    fhir = FakeFhir()
    StudySync(ports(fhir=fhir), options).run_all([Study([report, entry(2)])])
    patients = {one["identifier"][0]["value"]: f"Patient/{one['id']}" for one in held(fhir, "Patient")}
    assert held(fhir, "ImagingStudy")[0]["subject"] == {"reference": patients["P-1"]}
    assert [one["subject"] for one in held(fhir, "Observation")] == [{"reference": patients["P-2"]}] * 2


def test_the_patients_of_all_reports_are_read_ahead():
    """In one request for several studies, with the Endpoint: the Observations of each report come after."""
    options = MappingOptions("https://dicom.example.org", generate_observations=True)
    studies = [
        Study(
            [
                report_entry(
                    ct(PatientID=f"R-{number}", StudyInstanceUID=f"1.2.{number}", SOPInstanceUID=f"1.3.{number}")
                ),
                entry(2, study=f"1.2.{number}", instance=f"1.4.{number}", t00100020=f"P-{number}"),
            ]
        )
        for number in (1, 2)
    ]
    fhir = FakeFhir()
    StudySync(ports(fhir=fhir), options).run_all(studies)
    assert len(held(fhir, "Patient")) == 4
    before = fhir.calls
    StudySync(ports(fhir=fhir), options).run_all(studies)
    assert fhir.calls - before == 1 + 2


def test_what_another_host_wrote_is_seen_where_only_the_patient_is_written():
    """It stored an instance, which is gone by now; that this host remembers the study without it is no proof."""
    fhir = FakeFhir()
    feed = []
    ours, theirs = (StudySync(ports(feed, fhir=fhir), OPTIONS) for _ in range(2))
    last = [deleted(3, instance="1.2"), entry(4, Action.UPDATE, instance="1.1", t00100040="F")]
    for host, entries in ((ours, [entry(1, instance="1.1")]), (theirs, [entry(2, instance="1.2")]), (ours, last)):
        feed += entries
        host.run_all([Study(entries)])
    assert [one["uid"] for one in held(fhir, "ImagingStudy")[0]["series"][0]["instance"]] == ["1.1"]
