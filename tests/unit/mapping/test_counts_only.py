"""What a study keeps that is too large to be listed."""

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import counted_series, counts_only, merge_study
from shared.mapping.resources import StudyMapper, map_endpoint
from shared.model.change_feed import DEFAULT_PARTITION
from tests.fakes import entry

URL = "https://dicom.example.org"
OPTIONS = MappingOptions(URL)
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
UID = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
OLD, NEW = {"type": ACSN, "value": "A-1"}, {"type": ACSN, "value": "A-2"}
RIS = {"type": ACSN, "system": "https://ris.example.org", "value": "A-1"}
PLACER = {"type": {"coding": [{"code": "PLAC"}]}, "value": "A-1"}
CHEST, SIGNED = {"text": "Chest"}, {"text": "Chest", "authorString": "B"}
WATSON, HOLMES = {"display": "John Watson"}, {"display": "Mycroft Holmes"}
LINKED = {"reference": "Practitioner/1", "display": "John Watson"}


def merged(existing, *entries, links=None):
    mapper = StudyMapper(OPTIONS)
    return merge_study(existing, [mapper.map(one) for one in entries], links or {}) or existing


def series(uid, instances=None, count=None):
    listed = {} if instances is None else {"instance": [{"uid": f"{uid}.{n}"} for n in range(instances)]}
    counted = {} if count is None else {"numberOfInstances": count}
    return {"uid": uid, "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}, **listed, **counted}  # fmt: skip


COUNTED = [
    # series, what the archive counts, what is left: uid -> count
    ([series("1", 3, 3)],                     {"1": 3},         {"1": 3}),
    ([series("1", 3, 3)],                     {"1": 5},         {"1": 5}),
    ([series("1", 1, 1), series("2", None, 4)], {"1": 1, "2": 9}, {"1": 1, "2": 9}),
    ([series("1", 1, 1), series("2", None, 4)], {"1": 1, "2": 0}, {"1": 1}),
    ([series("1", 1, 1)],                     {"1": 0},         {}),
    ([series("1", 1, 1), series("7", None, 4)], {"1": 2},       {"1": 2, "7": 4}),
    ([series("1", 1, 1), series("7", 2, 2)],  {"1": 2},         {"1": 2, "7": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("held", "counts", "left"), COUNTED)
def test_counts_only(held, counts, left):
    """The archive's counts in place of lists; a series that it holds no more goes, one that it does not know stays."""
    study = counts_only({"series": held, "note": [CHEST]}, counts)
    assert {one["uid"]: one["numberOfInstances"] for one in study.get("series", [])} == left
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (len(left), sum(left.values()))
    assert not [one for one in study.get("series", []) if one["uid"] in counts and "instance" in one]
    assert study["note"] == [CHEST]
    assert "series" not in study or study["series"]  # FHIR has no empty lists


@pytest.mark.parametrize(
    ("held", "counted"),
    [
        ([], set()),
        ([series("1", 2, 2)], set()),
        ([series("1", 2)], set()),
        ([series("1")], set()),  # nothing is said of its instances
        ([series("1", None, 0)], set()),
        ([series("1", 2, 2), series("2", None, 2)], {"2"}),
    ],
)
def test_counted_series(held, counted):
    """A series that has instances, and lists none."""
    assert counted_series({"series": held}) == counted


def test_the_counted_series_of_others_keeps_its_count():
    """Another archive's: nobody here knows its instances, and 0 would be untrue."""
    theirs = [series("9.8", None, 40), series("9.9")]
    study = merged({"resourceType": "ImagingStudy", "series": theirs}, entry(1))
    assert study["series"][:2] == theirs
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (3, 41)


@pytest.mark.parametrize(
    ("name", "url", "system"),
    [
        (DEFAULT_PARTITION, URL, "urn:dicom:uid"),
        ("north", f"{URL}/partitions/north", f"{URL}/partitions/north"),
    ],
)
def test_a_partition_is_a_service_of_its_own(name, url, system):
    """Source, Endpoint and the system of UIDs are the partition's; all else is the deployment's."""
    options = MappingOptions(URL, patient_system="urn:p", generate_observations=True, max_instances=7).of_partition(
        name
    )
    study, endpoint = StudyMapper(options).map(entry(1)).study, map_endpoint(options)
    assert study.create["meta"] == {"source": url, "tag": [{"system": "urn:dicom-cast:source", "code": url}]}
    assert study.add["identifier"] == [{"system": system, "value": "urn:oid:1.2.3"}]
    assert (endpoint.create["address"], endpoint.create["name"]) == (url, f"DICOM WADO-RS endpoint {url}")
    assert (options.patient_system, options.generate_observations, options.max_instances) == ("urn:p", True, 7)
