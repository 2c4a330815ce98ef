"""An instance is its study's and its series': the same SOPInstanceUID elsewhere is another instance."""

from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.dose_reports import ct, ct_event
from tests.fakes import SERIES, FakeFhir, entry, ports, report_entry

A, B = "1.2.3", "1.2.4"
OPTIONS = MappingOptions("https://d", generate_observations=True)


def run(fhir, *studies):
    """One batch: each study's entries."""
    told = [one for entries in studies for one in entries]
    outcomes = StudySync(ports(told, fhir=fhir), OPTIONS).run_all([Study(entries) for entries in studies])
    assert all(not outcome.failures for outcome in outcomes)


def dose(sequence, study=A, series="1.2.3.9", partition=None):
    made = report_entry(ct(ct_event(1), StudyInstanceUID=study, SeriesInstanceUID=series), sequence)
    return replace(made, partition=partition) if partition else made


def deleted(one, sequence):
    return replace(one, sequence=sequence, action=Action.DELETE, state=State.DELETED, metadata=None)


def held(fhir, resource_type):
    return [one for one in fhir.resources if one["resourceType"] == resource_type]


def doses(fhir):
    """Of each ImagingStudy, how many Observations are derived from it."""
    links = [one["derivedFrom"] for one in held(fhir, "Observation")]
    return {
        study["identifier"][0]["value"].removeprefix("urn:oid:"): links.count(
            [{"reference": f"ImagingStudy/{study['id']}"}]
        )
        for study in held(fhir, "ImagingStudy")
    }


def listed(fhir):
    (study,) = held(fhir, "ImagingStudy")
    return {one["uid"]: [instance["uid"] for instance in one["instance"]] for one in study["series"]}


@pytest.mark.parametrize("batches", [1, 2])
def test_one_sop_instance_in_two_series_of_a_study(batches):
    """In one batch as in two: both series are in FHIR, and each delete takes its own."""
    fhir = FakeFhir()
    first, second = (entry(n, series=series, instance="1.2.9") for n, series in ((1, "1.2.4"), (2, "1.2.5")))
    for some in ([[first, second]], [[first], [second]])[batches - 1]:
        run(fhir, some)
    assert listed(fhir) == {"1.2.4": ["1.2.9"], "1.2.5": ["1.2.9"]}
    run(fhir, [deleted(first, 3)])
    assert listed(fhir) == {"1.2.5": ["1.2.9"]}


@pytest.mark.parametrize("batches", [1, 2])
def test_a_dose_report_of_two_studies(batches):
    """Each has Observations of its own; to delete it from one leaves the other's."""
    fhir = FakeFhir()
    first, second = [dose(1)], [dose(2, B)]
    for some in ([[first, second]], [[first], [second]])[batches - 1]:
        run(fhir, *some)
    assert doses(fhir) == {A: 2, B: 2}
    sent = len(fhir.bundles)
    run(fhir, [dose(1)], [dose(2, B)])
    assert len(fhir.bundles) == sent
    run(fhir, [deleted(dose(1), 3)])
    assert doses(fhir) == {B: 2}
    run(fhir, [deleted(dose(2, B), 4)])
    assert held(fhir, "Observation") == []


@pytest.mark.parametrize("batches", [1, 2])
def test_a_dose_report_of_two_series(batches):
    """The same within one study."""
    fhir = FakeFhir()
    first, second = dose(1), dose(2, series="1.2.3.8")
    for some in ([[first, second]], [[first], [second]])[batches - 1]:
        run(fhir, some)
    assert doses(fhir) == {A: 4}
    run(fhir, [deleted(first, 3)])
    assert doses(fhir) == {A: 2}
    run(fhir, [second])
    assert doses(fhir) == {A: 2}
    assert listed(fhir) == {"1.2.3.8": ["1.2.3.9.1"]}


def test_a_dose_report_of_two_partitions():
    """Written in one transaction, where each needs a name of its own."""
    fhir = FakeFhir()
    run(fhir, [dose(1)], [dose(2, partition="north")])
    assert len(held(fhir, "Observation")) == 4
    run(fhir, [deleted(dose(2, partition="north"), 3)])
    assert len(held(fhir, "Observation")) == 2


def test_a_dose_report_that_two_studies_shared_before():
    """One set of Observations, linked to both: whoever loses the report leaves it to the other."""
    fhir = FakeFhir()
    run(fhir, [dose(1)], [dose(2, B)])
    fhir.resources = [one for one in fhir.resources if one["resourceType"] != "Observation"] + [
        shared(one) for one in held(fhir, "Observation")[:2]
    ]
    sent = len(fhir.bundles)
    run(fhir, [dose(1)], [dose(2, B)])
    assert len(fhir.bundles) == sent
    run(fhir, [deleted(dose(1), 3)])
    assert doses(fhir) == {B: 2}
    run(fhir, [deleted(dose(2, B), 4)])
    assert held(fhir, "Observation") == []


def shared(observation):
    links = [{"reference": f"ImagingStudy/{number}"} for number in (1, 2)]
    identifiers = [one for one in observation["identifier"] if one.get("system") != "urn:dicom-cast:source"]
    return observation | {"identifier": identifiers, "partOf": links, "derivedFrom": links}


FIRST, SECOND = entry(1, instance="1.2.8"), entry(2, instance="1.2.9")
BROKEN = entry(4, instance="1.2.9", t00080060=None)
LATE = replace(BROKEN, sequence=3, action=Action.DELETE, state=State.REPLACED)
"""The delete, as the feed has it once the instance was stored again."""
CUTS = {
    "one batch": [[deleted(SECOND, 3), BROKEN]],
    "a batch each": [[deleted(SECOND, 3)], [BROKEN]],
    "one batch, read late": [[LATE, BROKEN]],
    "a batch each, read late": [[LATE], [BROKEN]],
}


@pytest.mark.parametrize("batches", CUTS.values(), ids=CUTS)
def test_an_instance_that_is_deleted_and_stored_again_broken_is_not_in_fhir(batches):
    """What FHIR has of it was deleted: that holds wherever the batches end, and there is a row for what was stored."""
    fhir = FakeFhir()
    run(fhir, [FIRST, SECOND])
    for entries in batches:
        (outcome,) = StudySync(ports(entries, fhir=fhir), OPTIONS).run_all([Study(entries)])
    assert [row.sequence for row in outcome.failures] == [4]
    assert listed(fhir) == {SERIES: ["1.2.8"]}
