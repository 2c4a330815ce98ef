"""Studies that make more writes than a transaction takes, and those that a server takes only without their lists."""

import json
from dataclasses import replace

import pytest

from shared.errors import FhirRefusedError, StudyTooLargeError, UnreadStudyError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION, Action, State
from shared.model.failures import ErrorTable
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.replay.dry_run_server import DryRunServer
from tests.dose_reports import ct, ct_event
from tests.fakes import SERIES, STUDY, FakeArchive, FakeFhir, entry, ports, report_entry

MAX_WRITES = FakeFhir().most
OPTIONS = MappingOptions("https://dicom.example.org", generate_observations=True)


class Small(FakeFhir):
    """Takes no bundle of more characters."""

    def __init__(self, limit, **held):
        super().__init__(**held)
        self.limit, self.refused = limit, 0

    def transact(self, bundle):
        if len(json.dumps(bundle)) > self.limit:
            self.refused += 1
            raise StudyTooLargeError("status 413")
        return super().transact(bundle)


def large_report(sequence=1, events=600, action=Action.CREATE, patient="P-1"):
    """The entry of a dose report that is as many Observations, and one more."""
    report = ct(ct_event(1, event_uid="1.2.9"), PatientID=patient)
    items = report["0040A730"]["Value"]
    event = json.dumps(items.pop())
    items += [json.loads(event.replace('"1.2.9"', f'"1.2.9.{number}"')) for number in range(events)]
    return report_entry(report, sequence, action)


def synced(fhir, *entries, archive=None, options=OPTIONS, whole=None):
    study = Study(entries, whole=whole)
    (outcome,) = StudySync(ports(entries, fhir=fhir, **({"archive": archive} if archive else {})), options).run_all(
        [study]
    )
    return outcome


def held(fhir, resource_type):
    return [one for one in fhir.resources if one["resourceType"] == resource_type]


def series(fhir):
    return held(fhir, "ImagingStudy")[0]["series"]


def sizes(fhir):
    return [len(bundle["entry"]) for bundle in fhir.bundles]


def test_what_one_transaction_does_not_take_goes_with_the_next():
    """What the first made is found by the second; each Observation is of the study and its patient."""
    fhir = FakeFhir()
    assert synced(fhir, large_report()).wrote
    assert sizes(fhir) == [2, MAX_WRITES, 601 - MAX_WRITES]  # Patient and ImagingStudy; Observations
    observations = held(fhir, "Observation")
    assert len({one["identifier"][0]["value"] for one in observations}) == len(observations) == 601
    assert {one["subject"]["reference"] for one in observations} == {"Patient/1"}
    assert {one["derivedFrom"][0]["reference"] for one in observations} == {"ImagingStudy/1"}
    assert not synced(fhir, large_report()).wrote


def test_a_crash_between_the_two_leaves_the_rest_to_the_next_run():
    """Nothing is written twice."""
    fhir = FakeFhir(faults=[None, None, FhirRefusedError("status 422")])
    synced(fhir, large_report())
    assert len(held(fhir, "Observation")) == MAX_WRITES
    synced(fhir, large_report())
    assert len(held(fhir, "Observation")) == 601
    assert {one["meta"]["versionId"] for one in fhir.resources} == {"1"}


def test_all_of_them_move_and_all_of_them_go():
    """An update with another PatientID, and the delete, are as large."""
    fhir = FakeFhir()
    synced(fhir, large_report())
    synced(fhir, large_report(2, action=Action.UPDATE, patient="P-2"))
    assert {one["subject"]["reference"] for one in held(fhir, "Observation")} == {"Patient/2"}
    gone = large_report(3, action=Action.DELETE)
    synced(
        fhir,
        entry(3, Action.DELETE, state=State.DELETED, series=gone.series_instance_uid, instance=gone.sop_instance_uid),
    )
    assert (held(fhir, "Observation"), held(fhir, "ImagingStudy")) == ([], [])


@pytest.mark.parametrize("events", [600, 1200])
def test_a_dry_run_tells_all_of_them_and_ends(events):
    """The server never says that they are there."""
    fhir = FakeFhir()
    dry_run = DryRunServer(fhir)
    assert synced(dry_run, large_report(events=events)).wrote
    assert len(dry_run.writes) == 3 + events + 1
    assert fhir.resources == []


DESCRIBED = {"00081030": {"vr": "LO", "Value": ["Thorax"]}}


def images(*numbers, start=1):
    return [entry(start + at, instance=f"1.1.{number}") for at, number in enumerate(numbers)]


def test_a_study_that_is_too_large_is_counted():
    """413: what is in the DICOM service is counted, and a row says what was left out."""
    entries = images(*range(200))
    fhir = Small(10_000)
    result = synced(fhir, *entries, archive=FakeArchive({STUDY: entries}))
    assert result.wrote
    (row,) = result.failures
    assert (row.table, row.sequence) == (ErrorTable.INVALID_TAG, 200)
    assert row.message == "ImagingStudy.series.instance: left out, the series keep their counts; status 413"
    (one,) = series(fhir)
    assert ("instance" in one, one["numberOfInstances"]) == (False, 200)
    assert held(fhir, "ImagingStudy")[0]["numberOfInstances"] == 200


def test_it_stays_counted():
    """More instances and deletes need no second refusal; the counts are the DICOM service's. Again, nothing is sent."""
    entries = images(*range(200))
    fhir, archive = Small(10_000), FakeArchive({STUDY: entries})
    synced(fhir, *entries, archive=archive)
    archive.studies[STUDY] = entries[2:] + images(200, start=201)
    changes = [
        *(entry(n, Action.DELETE, state=State.DELETED, instance=f"1.1.{n - 202}") for n in (202, 203)),
        *images(200, start=204),
    ]
    assert synced(fhir, *changes, archive=archive).failures == ()
    assert (series(fhir)[0]["numberOfInstances"], fhir.refused) == (199, 1)
    assert not synced(fhir, *changes, archive=archive).wrote


def test_what_is_too_large_without_lists_is_narrowed_down():
    """A report that no server takes is to blame, and the images are not."""
    entries = [*images(1, 2), large_report(3, events=50), *images(3, start=4)]
    fhir = Small(8_000)
    result = synced(fhir, *entries, archive=FakeArchive({STUDY: entries}))
    assert {(row.table, row.sequence) for row in result.failures if row.is_final} == {(ErrorTable.FHIR, 3)}
    assert held(fhir, "Observation") == []
    assert series(fhir)[0]["uid"] == entries[0].series_instance_uid


def others(*series):
    """A study that another system made, with series of another archive."""
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
    return {
        "resourceType": "ImagingStudy",
        "id": "1",
        "meta": {"versionId": "1", "source": "https://ris.example.org"},
        "identifier": [uid],
        "series": [{"uid": uid, "modality": {"code": "MR"}, "numberOfInstances": count} for uid, count in series],
    }


def test_what_another_archive_counts_is_no_reason_to_count_ours():
    """Its series stay as they are, ours are listed."""
    fhir = FakeFhir(resources=[others(("9.9", 40))])
    synced(fhir, *images(1, 2))
    assert [(one["uid"], one["numberOfInstances"], "instance" in one) for one in series(fhir)] == [
        ("9.9", 40, False),
        (SERIES, 2, True),
    ]


def test_the_counted_series_of_others_stays_where_ours_are_counted():
    """Also in a rebuild, and when the last of ours is deleted."""
    entries = images(*range(10))
    options = MappingOptions("https://dicom.example.org", max_instances=4)
    fhir, archive = FakeFhir(resources=[others(("9.9", 40))]), FakeArchive({STUDY: entries})
    synced(fhir, *entries, archive=archive, options=options)
    assert {one["uid"]: one["numberOfInstances"] for one in series(fhir)} == {"9.9": 40, SERIES: 10}
    synced(fhir, *entries, archive=archive, options=options, whole=(STUDY, DEFAULT_PARTITION))
    assert {one["uid"]: one["numberOfInstances"] for one in series(fhir)} == {"9.9": 40, SERIES: 10}
    archive.studies.clear()
    removed = [entry(20, Action.DELETE, state=State.DELETED, instance="1.1.0")]
    synced(fhir, *removed, archive=archive, options=options)
    assert {one["uid"]: one["numberOfInstances"] for one in series(fhir)} == {"9.9": 40}


def test_a_rebuild_lists_again():
    """Once the limit is raised, or the server takes more; series that the DICOM service holds no more are gone."""
    entries = [*images(*range(3)), entry(4, series="1.2.4", instance="1.2.4.1")]
    archive, fhir = FakeArchive({STUDY: entries}), FakeFhir()
    counting = MappingOptions("https://dicom.example.org", max_instances=2)
    synced(fhir, *entries, archive=archive, options=counting)
    assert not any("instance" in one for one in series(fhir))
    synced(fhir, *entries[:3], archive=archive, whole=(STUDY, DEFAULT_PARTITION))
    assert [(one["uid"], len(one["instance"])) for one in series(fhir)] == [(SERIES, 3)]


@pytest.mark.parametrize("whole", [None, (STUDY, DEFAULT_PARTITION)], ids=["the feed", "a rebuild"])
def test_a_series_that_a_search_does_not_list_yet_is_not_lost(monkeypatch, whole):
    """The study is tried again: what is counted by a search must have all series that the feed, or WADO-RS, has."""
    entries = [*images(*range(3)), entry(4, series="1.2.4", instance="1.2.4.1")]
    archive, fhir = FakeArchive({STUDY: entries}), FakeFhir()
    counting = MappingOptions("https://dicom.example.org", max_instances=2)
    read = [replace(one, sequence=0, timestamp="") if whole else one for one in entries]
    with monkeypatch.context() as lagging:
        lagging.setattr(archive, "counts", lambda *_: {SERIES: 3})
        outcome = synced(fhir, *read, archive=archive, options=counting, whole=whole)
        assert (type(outcome), str(outcome)) == (
            UnreadStudyError, "the series 1.2.4 has instances, and QIDO-RS does not list it",
        )  # fmt: skip
    assert synced(fhir, *entries, archive=archive, options=counting, whole=whole).wrote
    assert [one["numberOfInstances"] for one in series(fhir)] == [3, 1]


def test_a_series_that_the_archive_has_not_listed_for_long_is_not_waited_for():
    """It cannot lag behind an old entry: an update that the app has not read yet may have given the series another UID."""
    entries = [
        *images(*range(3)),
        replace(entry(4, series="1.2.4", instance="1.2.4.1"), timestamp="2024-05-05T07:00:00Z"),
    ]
    archive, fhir = FakeArchive({STUDY: entries[:3]}), FakeFhir()
    counting = MappingOptions("https://dicom.example.org", max_instances=2)
    assert synced(fhir, *entries, archive=archive, options=counting).wrote
    assert [one["uid"] for one in series(fhir)] == [SERIES]


def test_a_series_that_an_update_has_given_another_uid_is_not_waited_for():
    """Its create and the update are in one batch: the archive has the instance under its new UIDs only."""
    moved = entry(202, Action.UPDATE, series="1.2.5", instance="1.2.4.1")
    entries = [*images(*range(200)), entry(201, series="1.2.4", instance="1.2.4.1"), moved]
    archive, fhir = FakeArchive({STUDY: [*entries[:200], moved]}), Small(10_000)
    for wrote in (True, False):
        outcome = synced(fhir, *entries, archive=archive)
        assert outcome.wrote is wrote
    assert fhir.refused
    assert {one["uid"]: one["numberOfInstances"] for one in series(fhir)} == {SERIES: 200, "1.2.5": 1}


def test_what_no_instance_of_a_counted_study_says_any_more_goes():
    """All instances are read for it, although they are only counted."""
    entries = [replace(one, metadata=one.metadata | DESCRIBED) for one in images(*range(3))]
    archive, fhir = FakeArchive({STUDY: entries}), FakeFhir()
    counting = MappingOptions("https://dicom.example.org", max_instances=2)
    synced(fhir, *entries, archive=archive, options=counting)
    assert held(fhir, "ImagingStudy")[0]["description"] == "Thorax"
    archive.studies[STUDY] = images(*range(3))
    synced(fhir, replace(images(0)[0], action=Action.UPDATE), archive=archive, options=counting)
    assert "description" not in held(fhir, "ImagingStudy")[0]


def test_what_another_put_on_a_counted_series_stays():
    """When the series is rebuilt, listed again or counted again; numbers follow even if no others are written."""
    entries = [*images(*range(3)), entry(4, series="1.2.4", instance="1.2.4.1")]
    counting = MappingOptions("https://dicom.example.org", max_instances=2)
    for options in (counting, replace(counting, max_instances=0), replace(counting, max_instances=0, extended=False)):
        archive, fhir = FakeArchive({STUDY: entries[1:]}), FakeFhir()
        synced(fhir, *entries[1:], archive=archive, options=counting)
        series(fhir)[0]["specimen"] = [{"display": "theirs"}]
        archive.studies[STUDY] = entries
        synced(fhir, *entries, archive=archive, options=options, whole=(STUDY, DEFAULT_PARTITION))
        assert series(fhir)[0]["specimen"] == [{"display": "theirs"}]
        assert ("instance" in series(fhir)[0]) == (options.max_instances == 0)
        assert held(fhir, "ImagingStudy")[0].get("numberOfInstances") == (4 if options.extended else None)
        assert not synced(fhir, *entries, archive=archive, options=options, whole=(STUDY, DEFAULT_PARTITION)).wrote
