"""Merging a dose report: its part is right, everybody else's is untouched, and what it says no more is gone."""

import copy
import json
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest

from shared.errors import MultipleMatchingResourcesError
from shared.mapping.converters import urn
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_observation, merge_report, remove_report, report_query
from shared.mapping.dose.observation import ReportInstance
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.transaction import Create, Delete, Update
from tests.dose_reports import REPORT, ct, ct_event, num, xray, xray_event

SERVICE = "https://dicom.example.org"
OPTIONS = MappingOptions(SERVICE)
INSTANCE = ReportInstance("1.2.3", "1.2.3.9", REPORT)
LINKS = {urn("ImagingStudy", "1.2.3"): "ImagingStudy/7", urn("Patient", "", "P-1"): "Patient/8"}


def mapped(metadata):
    return map_dose_report(metadata, OPTIONS)


def merged(held, metadata):
    return merge_report(held, mapped(metadata), LINKS, MappingOptions(SERVICE))


def held_after(metadata):
    """What a server holds once the report was written."""
    return [
        write.resource | {"id": str(number), "meta": {**write.resource["meta"], "versionId": "1"}}
        for number, write in enumerate(merged([], metadata), 1)
    ]


def test_a_new_report_is_created():
    """Summary first; references to what FHIR holds are those that the caller found."""
    writes = merged([], ct(ct_event(1), ct_event(2)))
    assert [type(write) for write in writes] == [Create] * 3
    assert [write.name for write in writes] == [
        urn("Observation", urn("Observation", SERVICE, "1.2.3", "1.2.3.9", REPORT, *more))
        for more in ((), ("1.2.3.9.1.1",), ("1.2.3.9.1.2",))
    ]
    assert writes[0].resource["derivedFrom"] == writes[0].resource["partOf"] == [{"reference": "ImagingStudy/7"}]
    assert writes[0].resource["subject"] == {"reference": "Patient/8"}


def test_the_query_of_a_create_names_the_one_observation():
    """By one identifier, which some servers take alone: of this Observation and no other, in this service's partition."""
    summary, event = merged([], ct(ct_event(1)))
    for write, uids in ((summary, [REPORT]), (event, [REPORT, "1.2.3.9.1.1"])):
        own = urn("Observation", SERVICE, "1.2.3", "1.2.3.9", *uids)
        assert parse_qsl(write.if_none_exist) == [("identifier", f"urn:dicom-cast:source|{own}")]
        assert {"system": "urn:dicom-cast:source", "value": own} in write.resource["identifier"]
    assert parse_qsl(report_query(REPORT, MappingOptions(SERVICE))) == [
        ("identifier", "urn:dicom:uid|urn:oid:1.2.3.9.1")
    ]


def test_the_second_run_writes_nothing():
    """Also where the server writes whole numbers without a point."""
    metadata = ct(ct_event(1, dlp=num("DCM 113838 DLP", 9.0, "mGy.cm")))
    held = held_after(metadata)
    held[1]["component"][2]["valueQuantity"]["value"] = 9
    assert merged(held, metadata) == []


def test_what_the_report_says_no_more_is_gone():
    """A component, an event, an element."""
    held = held_after(ct(ct_event(1), ct_event(2)))
    writes = merged(held, ct(ct_event(1, dlp=num("DCM 113838 DLP", None, "mGy.cm")), ContentTime=None))
    assert [type(write) for write in writes] == [Update, Update, Delete]
    assert writes[2].resource is held[2]
    event = writes[1].resource
    assert [one["code"]["coding"][0]["code"] for one in event["component"]] == ["113830", "113835"]
    assert "issued" not in event


@pytest.mark.parametrize("number", [None, "ACC-2"])
@pytest.mark.parametrize("of_others", [[], [{"value": "ACC-1"}]])
def test_an_accession_number_and_a_device_follow_the_report(number, of_others):
    """Corrected. An accession number of ours is one of type ACSN without a system, a device of ours a display alone."""
    held = held_after(xray(xray_event(1), AccessionNumber="ACC-1"))
    held[0]["identifier"] += of_others
    writes = merged(held, xray(xray_event(1), AccessionNumber=number, Manufacturer="Other"))
    summary = writes[0].resource
    assert [one["value"] for one in summary["identifier"] if "system" not in one] == [
        *(one["value"] for one in of_others),
        *([number] if number else []),
    ]
    assert [write.resource["device"] for write in writes] == [{"display": "Other Workstation"}] * 2


ISSUED = {"00080051": {"vr": "SQ", "Value": [{"00400031": {"vr": "UT", "Value": ["HOSPITAL"]}}]}}
THEIR_NUMBER = {
    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
    "system": "urn:oid:9.9",
    "value": "ACC-1",
}


@pytest.mark.parametrize("number", ["ACC-2", None])
def test_an_accession_number_with_a_system_follows_the_report(number):
    """One of a system that the settings, or the report, name is ours; one of another system is theirs."""
    options = MappingOptions(SERVICE, accession_issuers={"HOSPITAL": "urn:oid:1.2.3"})

    def run(held, metadata):
        return merge_report(held, map_dose_report(metadata, options), LINKS, options)

    (create,) = run([], ct(AccessionNumber="ACC-1") | ISSUED)
    held = [create.resource | {"id": "1", "meta": {**create.resource["meta"], "versionId": "1"}}]
    held[0]["identifier"].append(THEIR_NUMBER)
    (update,) = run(held, ct(AccessionNumber=number) | ISSUED)
    numbers = [(one["system"], one["value"]) for one in update.resource["identifier"] if "ACC" in one["value"]]
    assert numbers == [("urn:oid:9.9", "ACC-1"), *([("urn:oid:1.2.3", number)] if number else [])]
    (withdrawn,) = remove_report(held, INSTANCE, LINKS, options)
    held[0]["identifier"].remove(THEIR_NUMBER)
    (gone,) = remove_report(held, INSTANCE, LINKS, options)
    assert (type(withdrawn), type(gone)) == (Update, Delete)


def test_what_several_studies_share_loses_no_accession_number():
    """Made when one report's Observations were one for all studies: each says what its own report does."""
    held = held_after(ct(AccessionNumber="ACC-1"))
    held[0]["identifier"] = [one for one in held[0]["identifier"] if one.get("system") != "urn:dicom-cast:source"]
    held[0]["partOf"].append({"reference": "ImagingStudy/8"})
    (update,) = merged(held, ct(AccessionNumber="ACC-2"))
    assert {"ACC-1", "ACC-2"} <= {one["value"] for one in update.resource["identifier"]}


def test_a_report_whose_content_is_not_known_takes_nothing_out():
    """Its tree may be held elsewhere."""
    metadata = ct(ct_event(1))
    held = held_after(metadata)
    assert merged(held, {key: element for key, element in metadata.items() if key != "0040A730"}) == []


def test_what_others_wrote_stays():
    """Elements, identifiers, components of other concepts, additions to ours; a status that a person set."""
    metadata = ct(ct_event(1))
    _, event = held_after(metadata)
    foreign = {"code": {"text": "effective dose"}, "valueQuantity": {"value": 1.1, "unit": "mSv"}}
    event |= {
        "status": "entered-in-error",
        "note": [{"text": "wrong patient"}],
        "device": {"reference": "Device/5"},
        "identifier": [{"value": "own"}, *event["identifier"]],
    }
    event["component"].insert(0, foreign)
    event["component"][3] |= {"interpretation": [{"text": "high"}]}
    before = copy.deepcopy(event)
    assert merge_observation(event, mapped(metadata).observations[1].fragment, LINKS) is None
    changed = mapped(ct(ct_event(1, dlp=num("DCM 113838 DLP", 7, "mGy.cm")))).observations[1].fragment
    after = merge_observation(event, changed, LINKS)
    assert event == before
    expected = copy.deepcopy(before)
    expected["component"][3]["valueQuantity"]["value"] = 7.0
    assert after == expected


def test_another_kind_of_effective_time_stays():
    """FHIR takes one of effective[x]."""
    metadata = ct()
    (summary,) = held_after(metadata)
    del summary["effectiveDateTime"]
    summary["effectivePeriod"] = {"start": "2024-05-06"}
    assert merge_observation(summary, mapped(metadata).observations[0].fragment, LINKS) is None


def test_a_report_that_becomes_final():
    """Preliminary is the report's own word."""
    held = held_after(ct(CompletionFlag="PARTIAL"))
    (update,) = merged(held, ct(VerificationFlag="VERIFIED"))
    assert (held[0]["status"], update.resource["status"]) == ("preliminary", "final")


def test_components_of_one_code_keep_their_order():
    """The second plane's dose is not written into the first's place."""
    planes = [xray_event(1, f"DCM {code} {name}") for code, name in (("113620", "Plane A"), ("113621", "Plane B"))]
    held = held_after(xray(*planes))
    assert merged(held, xray(*planes)) == []
    held[1]["component"].reverse()
    assert merged(held, xray(*planes)) == []


def test_two_of_one_identity_are_an_error():
    """Never a pick of the first, unless we made them all and nobody has put anything on any: then one goes."""
    metadata = ct(ct_event(1))
    held = held_after(metadata)
    with pytest.raises(MultipleMatchingResourcesError, match="Observation/2, Observation/9"):
        merged([*held, held[1] | {"id": "9", "interpretation": [{"text": "high"}]}], metadata)
    (delete,) = merged([*held, held[1] | {"id": "9"}], metadata)
    assert (delete.resource["id"], delete.marked["status"]) == ("9", "entered-in-error")


def test_a_removed_report_takes_its_own_observations_only():
    """Not those of others that name the report, nor those of another report of the same event."""
    own = held_after(ct(ct_event(1)))
    foreign = own[0] | {"id": "8", "meta": {"source": "https://elsewhere.example.org"}}
    other_kind = own[0] | {"id": "9", "code": {"text": "comment"}}
    (_, same_event) = held_after(ct(ct_event(1), SOPInstanceUID="1.2.3.9.2"))
    deletes = remove_report([*own, foreign, other_kind, same_event], INSTANCE, LINKS, MappingOptions(SERVICE))
    assert [type(write) for write in deletes] == [Delete, Delete]
    assert [write.resource for write in deletes] == own


NOTE = {"note": [{"text": "seen by the ward"}]}
THEIRS = {"code": {"coding": [{"system": "urn:ris", "code": "x"}]}, "valueString": "x"}

REMOVED = [
    # name, what the Observation says besides, what is written: Delete, Update or nothing
    ("ours alone", {}, Delete),
    ("with another's note", NOTE, Update),
    ("with another's component", {"component": [THEIRS]}, Update),
    ("another's word on its status", {"status": "amended"}, None),
    ("in error by another's word", {"status": "entered-in-error"}, None),  # it is of a study still
    ("withdrawn by us", {"status": "entered-in-error", "partOf": None, "derivedFrom": None}, Delete),
    ("withdrawn by us, with another's note", NOTE | {"status": "entered-in-error", "partOf": None, "derivedFrom": None}, None),
    ("another's by now", {"meta": {"versionId": "1", "source": "https://ris.example.org"}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "kind"), REMOVED, ids=[row[0] for row in REMOVED])
def test_what_becomes_of_an_observation_whose_report_is_gone(name, more, kind):
    """What others have put something on is withdrawn, once, and stays; their word on it is left alone."""
    (held, *_) = held_after(ct(ct_event(1)))
    held = {name: value for name, value in (held | more).items() if value is not None}
    before = copy.deepcopy(held)
    writes = remove_report([held], INSTANCE, LINKS, OPTIONS)
    assert [type(write) for write in writes] == ([kind] if kind else [])
    assert held == before
    for write in writes:
        says = write.marked if kind is Delete else write.resource
        assert says["status"] == "entered-in-error"
        assert not {"partOf", "derivedFrom"} & says.keys()
        assert says.get("note") == held.get("note")


def test_a_withdrawn_observation_whose_report_is_stored_again():
    """It says what it said, with what others put on it meanwhile."""
    held = held_after(ct(ct_event(1)))
    (update,) = remove_report([held[0] | NOTE], INSTANCE, LINKS, OPTIONS)
    (again,) = merged([update.resource, held[1]], ct(ct_event(1)))
    assert again.resource == held[0] | NOTE


@pytest.mark.parametrize("kept", [Decimal("1.10"), Decimal("1.1"), 1.1, Decimal("1.10000000000000000001")], ids=repr)
def test_a_server_that_keeps_other_digits_is_not_written_to_again(kept):
    """1.10 is written as it was measured; what the server makes of it is the same number."""
    report = json.loads(json.dumps(ct(ct_event(1))).replace("151.22", "1.10"), parse_float=Decimal)
    held = held_after(report)
    values = [one["valueQuantity"] for resource in held for one in resource["component"] if "valueQuantity" in one]
    (measured,) = [one for one in values if repr(one["value"]) == "Decimal('1.10')"]
    measured["value"] = kept
    assert merged(held, report) == []
    measured["value"] = Decimal("1.11")
    assert len(merged(held, report)) == 1
