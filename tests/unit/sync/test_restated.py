"""What stands in FHIR in a former form, of other settings or an older release: said anew once, and not beside it."""

from dataclasses import replace
from itertools import permutations

import pytest

from shared.mapping.last_applied import mark
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION, Action
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import STUDY, FakeArchive, FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")
RETIRED = {"00080100": {"vr": "SH", "Value": ["T-D3000"]}, "00080102": {"vr": "SH", "Value": ["SRT"]}}
CODES = {"t00081032": {"vr": "SQ", "Value": [RETIRED]}}


def synced(fhir, *entries, options=OPTIONS):
    run_batch(ports(list(entries), fhir=fhir), BatchOptions(options, size=100))
    (study,) = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    return study


def test_a_code_that_an_older_release_wrote_without_its_present_one():
    """With the next instance the study says it in its present form; what another wrote of it stays."""
    fhir = FakeFhir()
    study = synced(fhir, entry(1, **CODES))
    (present,) = study["procedureCode"]
    former, theirs = {"coding": present["coding"][1:]}, {"coding": present["coding"][1:], "text": "theirs"}
    study["procedureCode"] = [former, theirs]
    record = study["extension"][0]
    marks = {*record["valueString"].split(), mark("procedureCode", former)} - {mark("procedureCode", present)}
    record["valueString"] = " ".join(sorted(marks))
    entries = entry(1, **CODES), entry(2, instance="1.2.3.4.9", **CODES)
    assert synced(fhir, *entries)["procedureCode"] == [theirs, present]
    sent = len(fhir.bundles)
    synced(fhir, *entries)
    assert len(fhir.bundles) == sent


def numbers(study):
    return [one for one in study["identifier"] if one["value"] == "A-1"]


@pytest.mark.parametrize("options", [OPTIONS, replace(OPTIONS, accession_system="urn:b")], ids=["none", "another"])
def test_what_another_says_of_the_same_number_stays(options):
    """Only what we wrote goes with the setting."""
    fhir, former = FakeFhir(), replace(OPTIONS, accession_system="urn:a")
    study = synced(fhir, entry(1, t00080050="A-1"), options=former)
    (ours,) = numbers(study)
    theirs = {**ours, "system": "urn:theirs", "use": "official"}
    study["identifier"].append(theirs)
    entries = [entry(1, t00080050="A-1"), entry(2, instance="1.2.3.4.9", t00080050="A-1")]
    now = numbers(synced(fhir, *entries, options=options))
    assert theirs in now
    assert {one["system"] for one in now} == {"urn:theirs", options.accession_system or "urn:theirs"}


def test_a_display_that_another_put_on_a_code_of_before_there_was_a_record():
    """It stays, with the first write and with the next."""
    fhir = FakeFhir()
    study = synced(fhir, entry(1, t00081030="CT"))
    del study["extension"]
    study["series"][0]["modality"]["display"] = "Computed Tomography"
    for description in ("CT Chest", "CT Thorax"):
        study = synced(fhir, entry(1, Action.UPDATE, t00081030=description))
        assert study["description"] == description
        assert study["series"][0]["modality"]["display"] == "Computed Tomography"


ISSUED = {"00400032": {"vr": "UT", "Value": ["1.2"]}, "00400033": {"vr": "CS", "Value": ["ISO"]}}
MEANING = {**RETIRED, "00080104": {"vr": "LO", "Value": ["Chest"]}}
MIXED = [
    ("identifier", {"t00080050": "A-1"}, {"t00080050": "A-1", "t00080051": {"vr": "SQ", "Value": [ISSUED]}}),
    ("procedureCode", CODES, {"t00081032": {"vr": "SQ", "Value": [MEANING]}}),
]


@pytest.mark.parametrize(("element", "less", "more"), MIXED, ids=[row[0] for row in MIXED])
def test_instances_of_which_one_says_more_than_another(element, less, more):
    """What says more stands there, whichever comes first, at once or one after the other; a rebuild changes nothing."""
    entries = [entry(number, instance=f"1.2.{number}", **tags) for number, tags in enumerate((less, more, less), 1)]
    fresh = synced(FakeFhir(), entries[1])[element]
    for order in permutations(entries):
        for cut in (1, 2, 3):
            fhir, archive = FakeFhir(), FakeArchive({STUDY: []})
            sync = StudySync(ports(fhir=fhir, archive=archive), OPTIONS)
            for batch in filter(None, (order[:cut], order[cut:])):
                archive.studies[STUDY] += batch
                sync.run_all([Study(batch)])
            assert fhir.resources[-1][element] == fresh
            sent = len(fhir.bundles)
            sync.run_all([Study(order, whole=(STUDY, DEFAULT_PARTITION))])
            assert len(fhir.bundles) == sent
