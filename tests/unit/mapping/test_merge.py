"""Merging: DICOM's part is right, everybody else's part is untouched, and twice is as good as once."""

import copy

import pytest

from shared.errors import EndpointMismatchError
from shared.mapping.converters import MODALITY_SYSTEM
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import contains, merge_endpoint
from shared.mapping.merge_patient import merge_patient
from shared.mapping.merge_study import RemovedInstance, merge_study
from shared.mapping.resources import StudyMapper, map_endpoint
from shared.mapping.table import TABLE
from shared.model.change_feed import Action, State
from shared.model.options import PatientUpdatePolicy
from tests.fakes import entry

OPTIONS = MappingOptions("https://dicom.example.org")


def mapped(*entries):
    mapper = StudyMapper(OPTIONS)
    return [RemovedInstance(one) if one.action is Action.DELETE else mapper.map(one) for one in entries]


def deleted(sequence, **uids):
    return entry(sequence, Action.DELETE, state=State.DELETED, **uids)


def name(text):
    return {"vr": "PN", "Value": [{"Alphabetic": text}]}


def test_what_others_wrote_on_a_patient_stays():
    """Other names, identifiers, extensions, and what we do not know, byte for byte."""
    existing = {
        "resourceType": "Patient",
        "id": "7",
        "meta": {"versionId": "3", "tag": [{"code": "x"}]},
        "extension": [{"url": "http://example.org/x", "valueDecimal": 1.10}],
        "identifier": [{"value": "P-1", "use": "official", "assigner": {"display": "Ward"}}, {"value": "other"}],
        "name": [{"use": "maiden", "family": "B"}, {"use": "usual", "family": "A", "text": "Dr. A", "given": ["Old"]}],
        "gender": "male",
        "birthDate": "1901-02-03",
        "unknown": [1],
    }
    before = copy.deepcopy(existing)
    merged = merge_patient(
        existing, mapped(entry(t00100010=name("A^New"), t00100040="F", t00100030="19990101"))[0].patient
    )
    assert existing == before
    assert merged == before | {
        "name": [{"use": "maiden", "family": "B"}, {"use": "usual", "family": "A", "text": "Dr. A", "given": ["New"]}],
        "gender": "female",
    }


def test_a_patient_that_already_says_it_is_not_written():
    """No new version without news."""
    wanted = mapped(entry(t00100010=name("A^B"), t00100040="F"))[0].patient
    created = merge_patient(None, wanted)
    assert merge_patient(created, wanted) is None


POLICIES = [
    # rule                                               policy      held                     name, gender after
    ("overwrite: name and gender follow DICOM",          "overwrite", {"gender": "male", "name": [{"use": "usual", "family": "Old"}]}, "New", "female"),
    ("fill: what is there stays",                        "fill",      {"gender": "male", "name": [{"use": "usual", "family": "Old"}]}, "Old", "male"),
    ("fill: what lacks is written",                      "fill",      {}, "New", "female"),
    ("fill: an official name is a name",                 "fill",      {"name": [{"use": "official", "family": "Old"}]}, "Old", "female"),
    ("never: nothing is written",                        "never",     {"name": [{"use": "usual", "family": "Old"}]}, "Old", None),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "policy", "held", "family", "gender"), POLICIES, ids=[row[0] for row in POLICIES])
def test_the_patient_update_policy(rule, policy, held, family, gender):
    """`Patient__UpdatePolicy`; a filled value does not flap with the next instance."""
    mapper = StudyMapper(OPTIONS)
    first, second = (
        mapper.map(entry(n, instance=f"1.{n}", t00100010=name(family_name), t00100040=sex)).patient
        for n, family_name, sex in ((1, "New", "F"), (2, "Newer", "M"))
    )
    existing = {"resourceType": "Patient", "id": "1", "identifier": [{"value": "P-1"}], **held}
    merged = merge_patient(existing, first, PatientUpdatePolicy(policy)) or existing
    assert (merged["name"][0]["family"], merged.get("gender")) == (family, gender), rule
    if policy != "overwrite":
        assert merge_patient(merged, second, PatientUpdatePolicy(policy)) is None


@pytest.mark.parametrize("policy", PatientUpdatePolicy)
def test_a_new_patient_is_whole_under_any_policy(policy):
    """The policy is about what others keep."""
    merged = merge_patient(None, mapped(entry(t00100040="F", t00100030="19990101"))[0].patient, policy)
    assert (merged["gender"], merged["birthDate"]) == ("female", "1999-01-01")


def test_an_endpoint_with_another_address_is_an_error():
    """A link to it would lead to the wrong archive."""
    wanted = map_endpoint(OPTIONS)
    assert merge_endpoint({"address": "https://dicom.example.org/"}, wanted) is None
    with pytest.raises(EndpointMismatchError, match="Endpoint/9"):
        merge_endpoint({"id": "9", "address": "https://elsewhere"}, wanted)


def study_of(*entries, existing=None):
    return merge_study(existing, mapped(*entries), {})


def test_series_and_instances_are_added_in_place():
    """An instance goes under its series; what FHIR holds keeps its order."""
    first = study_of(entry(1, series="1.1", instance="1.1.1"), entry(2, series="1.2", instance="1.2.1"))
    second = study_of(entry(3, series="1.1", instance="1.1.2"), existing=first)
    assert [(one["uid"], [i["uid"] for i in one["instance"]]) for one in second["series"]] == [
        ("1.1", ["1.1.1", "1.1.2"]),
        ("1.2", ["1.2.1"]),
    ]
    assert [len(one["instance"]) for one in first["series"]] == [1, 1]


def test_merging_twice_changes_nothing():
    """At least once in, exactly once in effect."""
    entries = [entry(n, instance=f"1.{n}", t00200013=n, t00081030="Chest", t00080050="A1") for n in range(1, 5)]
    first = study_of(*entries)
    assert study_of(*entries, existing=first) is None
    assert study_of(*reversed(entries), existing=first) is None


def test_the_later_entry_wins():
    """Two instances that disagree about their study: the feed's order decides."""
    a, b = entry(1, instance="1.1", t00080020="20200101"), entry(2, instance="1.2", t00080020="20200202")
    assert study_of(a, b)["started"] == "2020-02-02"
    assert study_of(b, a)["started"] == "2020-01-01"


def test_what_others_wrote_on_a_study_stays():
    """Series, instances, notes, codes of other systems, displays."""
    existing = study_of(entry(1, instance="1.1", t00081030="Chest"))
    existing["note"].append({"text": "read by B"})
    existing["modality"].append({"system": "http://example.org", "code": "x"})
    existing["series"][0]["modality"]["display"] = "Computed Tomography"
    existing["series"][0]["instance"][0]["title"] = "Scout"
    existing["series"][0]["extension"] = [{"url": "http://example.org/e", "valueBoolean": True}]
    existing["basedOn"] = [{"reference": "ServiceRequest/1"}]
    merged = study_of(entry(2, instance="1.2", t00081030="Chest"), existing=existing)
    del merged["series"][0]["instance"][1]
    merged["numberOfInstances"] = merged["series"][0]["numberOfInstances"] = 1
    assert merged == existing


def test_the_studys_modalities_are_those_of_its_series():
    """They come and go with the series."""
    both = study_of(entry(1, series="1.1", instance="1.1.1"), entry(2, series="1.2", instance="1.2.1", t00080060="SR"))
    assert [one["code"] for one in both["modality"]] == ["CT", "SR"]
    one = study_of(deleted(3, series="1.2", instance="1.2.1"), existing=both)
    assert one["modality"] == [{"system": MODALITY_SYSTEM, "code": "CT"}]


def test_the_counts_are_counted():
    """Of what is in the resource, whatever wrote it; they are right after a removal too."""
    study = study_of(
        entry(1, series="1.1", instance="1.1.1"),
        entry(2, series="1.2", instance="1.2.1"),
        entry(3, series="1.2", instance="1.2.2"),
    )
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (2, 3)
    assert [one["numberOfInstances"] for one in study["series"]] == [1, 2]
    study = study_of(deleted(4, series="1.2", instance="1.2.1"), existing=study | {"numberOfInstances": 99})
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (2, 2)


def test_a_referrer_of_others_stays():
    """A link to a Practitioner says more than a name; where FHIR says nothing, the name is written once."""
    referrer = {"reference": "Practitioner/1"}
    study = study_of(entry(1)) | {"referrer": referrer}
    assert study_of(entry(2, t00080090=name("Watson^Mary")), existing=study) is None
    assert study_of(entry(1, t00080090=name("Watson^Mary^^Dr.")))["referrer"] == {"display": "Dr. Mary Watson"}


def test_without_the_extended_mapping_only_the_specification_is_written():
    """`DicomCast__Features__ExtendedMapping` false."""
    bare = MappingOptions("https://dicom.example.org", extended=False)
    change = StudyMapper(bare).map(entry(t00081030="Chest", t00180015="CHEST", t00080090=name("Watson")))
    study = merge_study(None, [change], {}, counted=False)
    specified = {(row.scope, row.element) for row in TABLE if not row.ours}
    ours = {(row.scope, row.element) for row in TABLE if row.ours} - specified
    said = {("ImagingStudy", name) for name in study} | {("ImagingStudy.series", name) for name in study["series"][0]}
    assert not ours & said
    assert study["note"] == [{"text": "Chest"}]
    assert study["identifier"] == [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}]


def test_the_last_instance_takes_its_series_along():
    """And the study keeps no empty list, which FHIR forbids."""
    study = study_of(entry(1))
    assert "series" not in study_of(deleted(2), existing=study)


def test_a_delete_of_what_is_not_there_changes_nothing():
    """Neither an unknown instance, nor an unknown series, nor an unknown study."""
    study = study_of(entry(1))
    assert study_of(deleted(2, instance="9.9"), existing=study) is None
    assert study_of(deleted(2, series="9.9"), existing=study) is None
    assert study_of(deleted(2)) is None


@pytest.mark.parametrize(
    ("existing", "wanted", "said"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        (1, True, False),
        ({"reference": "Patient/7/_history/2"}, {"reference": "Patient/7"}, True),
        ({"reference": "patient/7"}, {"reference": "Patient/7"}, True),
        ({"reference": "https://elsewhere/Patient/7"}, {"reference": "Patient/7"}, False),
        ({"reference": "Patient/77"}, {"reference": "Patient/7"}, False),
        (None, "x", False),
    ],
)
def test_contains(existing, wanted, said):
    """Saying more is no reason to write."""
    assert contains(existing, wanted) is said
