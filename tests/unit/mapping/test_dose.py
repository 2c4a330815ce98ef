"""Dose reports: which instances are one, what is read of odd ones, and which item is to blame where less is said."""

from decimal import Decimal

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from shared.errors import InvalidDicomTagError
from shared.mapping.converters import urn
from shared.mapping.dose import components as dose_table
from shared.mapping.dose.components import COMPONENTS, ConceptName
from shared.mapping.dose.mapped_report import REPORT_KEYS, map_dose_report
from shared.mapping.dose.report import is_dose_report
from shared.mapping.mapping_options import MappingOptions
from tests.dose_reports import (
    ENHANCED_SR,
    NM_REPORT,
    RADIOPHARMACEUTICAL_SR,
    REPORT,
    XRAY_REPORT,
    administration,
    coded,
    container,
    ct,
    ct_event,
    num,
    radiopharmaceutical,
    report,
    text,
    uid,
    xray,
    xray_accumulated,
    xray_event,
)

OPTIONS = MappingOptions("https://dicom.example.org")
SINGLE = "DCM 113622 Single Plane"


def mapped(metadata, options=OPTIONS):
    return map_dose_report(metadata, options)


def said(metadata, position=0, options=OPTIONS):
    return mapped(metadata, options).observations[position].fragment.set


def components(metadata, position=0, options=OPTIONS):
    """Code -> value, of the Observation at that place."""
    found = {}
    for component in said(metadata, position, options).get("component", []):
        (element,) = component.keys() - {"code"}
        found[component["code"]["coding"][0]["code"]] = component[element]
    return found


def faults(metadata):
    return [fault.rule for fault in mapped(metadata).faults]


ONE_CT = ct(ct_event(1))


@pytest.mark.parametrize(
    ("metadata", "is_one"),
    [
        (ONE_CT, True),
        (report(NM_REPORT, sop_class=RADIOPHARMACEUTICAL_SR), True),
        (report(XRAY_REPORT, sop_class=ENHANCED_SR, template="-"), True),
        (report("LN 18748-4 Diagnostic imaging report", sop_class=ENHANCED_SR, template="10011"), True),
        (report("LN 18748-4 Diagnostic imaging report", sop_class=ENHANCED_SR, template="2000"), False),
        (report("99X 113701 Something else", sop_class=ENHANCED_SR, template="2000"), False),
        (report(XRAY_REPORT, sop_class="1.2.840.10008.5.1.4.1.1.2"), False),
        (report(XRAY_REPORT, sop_class="1.2.840.10008.5.1.4.1.1.88.73"), False),  # a patient's estimated dose
        ({"00080016": {"vr": "UI", "Value": ["x"]}}, False),
        ({}, False),
    ],
)
def test_which_instance_is_a_dose_report(metadata, is_one):
    """By SOP class; of general SRs by the root's name or template. It needs no content tree, and raises nothing."""
    metadata = {key: element for key, element in metadata.items() if key != "0040A730"}
    assert is_dose_report(metadata) is is_one


def test_what_is_read_of_a_report_is_all_in_report_keys():
    """A caller may drop all other tags."""
    whole = ct(ct_event(1), TimezoneOffsetFromUTC="+0100", StationName="CT-1")
    assert mapped({key: element for key, element in whole.items() if key in REPORT_KEYS}) == mapped(whole)


DLP = "DCM 113838 DLP"
ODD = [
    # what is odd                           the DLP item                                         value of DLP                                                                                        fault
    ("a number as text",                    num(DLP, "151.22", "mGy.cm"),                        {"value": Decimal("151.22"), "unit": "mGy.cm", "system": "http://unitsofmeasure.org", "code": "mGy.cm"},     None),
    ("a unit that only claims to be UCUM",  num(DLP, 151.22, "mGycm"),                           {"value": Decimal("151.22"), "unit": "mGy.cm", "system": "http://unitsofmeasure.org", "code": "mGy.cm"},     None),
    ("a unit of another scheme",            num(DLP, 151.22, "99X 1 mGy*cm"),                    {"value": Decimal("151.22"), "unit": "mGy*cm"},                                                                None),
    ("no unit",                             num(DLP, 151.22, None),                              None,                                                                                               "one unit is expected, 0 are there"),
    ("no measured value",                   num(DLP, None, "mGy.cm"),                            None,                                                                                               None),
    ("text for a number",                   text(DLP, "151.22 mGy.cm"),                          None,                                                                                               "value type NUM is expected"),
    ("a code for a number",                 coded(DLP, "DCM 1 x"),                               None,                                                                                               "value type NUM is expected"),
    ("a zero",                              num(DLP, 0, "mGy.cm"),                               {"value": 0.0, "unit": "mGy.cm", "system": "http://unitsofmeasure.org", "code": "mGy.cm"},        None),
]  # fmt: skip


@pytest.mark.parametrize(("what", "item", "value", "fault"), ODD, ids=[row[0] for row in ODD])
def test_odd_items(what, item, value, fault):
    """What can be relied on is read; what cannot is left out and told, and the rest of the event stays."""
    metadata = ct(ct_event(1, dlp=item))
    assert components(metadata, 1).get("113838") == value
    assert "113830" in components(metadata, 1)
    assert faults(metadata) == ([f"DCM 113838 DLP: {fault}"] if fault else [])


@pytest.mark.parametrize("number", ["7,46", "PAT^NAME", "1e999"])
def test_faults_never_carry_the_value(number):
    """They go into an error table."""
    metadata = ct(ct_event(1))
    event = metadata["0040A730"]["Value"][-1]["0040A730"]["Value"]
    dose = event[-1]["0040A730"]["Value"]
    dose[-1]["0040A300"]["Value"][0]["0040A30A"]["Value"] = [number]
    (fault,) = mapped(metadata).faults
    assert str(fault).startswith("(0040,A730) ContentSequence (SQ): DCM 113838 DLP: ")
    assert number not in str(fault)


def test_no_events():
    """A summary alone."""
    (summary,) = mapped(ct()).observations
    assert components(ct())["113812"] == 0
    own = urn("Observation", "https://dicom.example.org", "1.2.3", "1.2.3.9", REPORT)
    assert summary.name == urn("Observation", own)


def test_an_event_without_a_uid_is_left_out():
    """It would be written anew with every run."""
    metadata = ct(container("DCM 113819 CT Acquisition", num(DLP, 1, "mGy.cm")), ct_event(2))
    assert len(mapped(metadata).observations) == 2
    assert faults(metadata) == [
        "DCM 113769 Irradiation Event UID: missing: an event without it would be written anew each time"
    ]


def test_containers_of_one_event_are_one_observation():
    """TID 10013 allows to split an acquisition."""
    second = ct_event(1, dlp=num(DLP, 9, "mGy.cm"))
    _, event = mapped(ct(ct_event(1), second)).observations
    values = [one.get("valueQuantity", {}).get("value") for one in event.fragment.set["component"]]
    assert values == [Decimal("5.6"), None, Decimal("151.22"), 9]


def test_the_same_event_in_two_reports_is_two_observations():
    """Each report's can be deleted without the other's; both name the event."""
    first, second = (mapped(ct(ct_event(1), SOPInstanceUID=uid)).observations[1] for uid in ("1.2.3.9.8", "1.2.3.9.9"))
    assert first.name != second.name
    assert first.fragment.add["identifier"][0] == second.fragment.add["identifier"][0]
    assert first.fragment.add["identifier"][1] != second.fragment.add["identifier"][1]


def test_the_planes_of_a_biplane_system_are_told_apart():
    """By words: the code is the same."""
    items = [xray_accumulated(f"DCM {code} {name}", 1) for code, name in (("113620", "Plane A"), ("113621", "Plane B"))]
    texts = [one["code"]["text"] for one in said(xray(*items))["component"][:2]]
    assert texts == ["Dose Area Product Total, Plane A", "Dose Area Product Total, Plane B"]
    assert "text" not in said(xray(xray_accumulated(SINGLE, 1)))["component"][0]["code"]


STATUS = [("VERIFIED", "PARTIAL", "final"), ("UNVERIFIED", "COMPLETE", "final"), ("UNVERIFIED", "PARTIAL", "preliminary"), (None, None, "preliminary"), ("verified", None, "preliminary")]  # fmt: skip


@pytest.mark.parametrize(("verification", "completion", "status"), STATUS)
def test_status(verification, completion, status):
    """Final is what a person verified, or what is complete; of the events too."""
    metadata = ct(ct_event(1), VerificationFlag=None, CompletionFlag=completion)
    if verification:
        metadata["0040A493"] = {"vr": "CS", "Value": [verification]}
    assert [said(metadata, position)["status"] for position in (0, 1)] == [status] * 2


WHEN = [
    # rule                                              report                                                                     summary                          event
    ("an event tells its own",                          ct(ct_event(1, started="20240506072130")),                                 "2024-05-06T07:21:03.083+00:00", "2024-05-06T07:21:30+00:00"),
    ("else the day of the report's",                    ct(ct_event(1)),                                                           "2024-05-06T07:21:03.083+00:00", "2024-05-06"),
    ("the first event's is the report's",               xray(xray_event(2, started="20240506080000"), xray_event(1)),              "2024-05-06T07:30:00+00:00",     "2024-05-06T08:00:00+00:00"),
    ("a radiopharmaceutical's is its administration",   radiopharmaceutical(administration()),                                     "2024-05-06T06:15:00-04:00",     "2024-05-06T06:15:00-04:00"),
    ("the report's offset counts",                      xray(xray_event(1), TimezoneOffsetFromUTC="+0200"),                        "2024-05-06T07:30:00+02:00",     "2024-05-06T07:30:00+02:00"),
    ("a value's own offset wins",                       xray(xray_event(1, started="20240506073000-0500"), TimezoneOffsetFromUTC="+0200"), "2024-05-06T07:30:00-05:00", "2024-05-06T07:30:00-05:00"),
    ("nothing told is the study's start",               xray(xray_event(1, started="2024")),                                       "2024-05-06T07:00:00+00:00",     "2024-05-06"),
    ("nothing at all is nothing",                       xray(xray_event(1, started="2024"), StudyDate=None),                       None,                            None),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "metadata", "summary", "event"), WHEN, ids=[row[0] for row in WHEN])
def test_when_irradiation_began(rule, metadata, summary, event):
    """`effectiveDateTime`, as exact as the report."""
    assert [said(metadata, position).get("effectiveDateTime") for position in (0, 1)] == [summary, event]


@pytest.mark.parametrize(
    ("elements", "issued"),
    [
        ({}, "2024-05-06T07:21:30.500+00:00"),
        ({"TimezoneOffsetFromUTC": "-0330"}, "2024-05-06T07:21:30.500-03:30"),
        ({"ContentTime": None}, None),
        ({"ContentTime": "07"}, None),
        ({"ContentDate": None}, None),
    ],
)
def test_issued_is_an_instant_or_nothing(elements, issued):
    """FHIR's instant needs a time of day."""
    assert said(ct(ct_event(1), **elements)).get("issued") == issued


def test_the_device_is_the_observer_or_else_the_equipment():
    """Display only."""
    assert mapped(ONE_CT).observations[0].fragment.fill == {"device": {"display": "Maker Scanner (CT-1)"}}
    assert mapped(xray()).observations[0].fragment.fill == {"device": {"display": "Maker Workstation"}}
    bare = xray(Manufacturer=None, ManufacturerModelName=None)
    assert mapped(bare).observations[0].fragment.fill == {}


def test_an_agent_may_be_text():
    """As some devices write it."""
    agent = container(
        "DCM 113502 Radiopharmaceutical Administration",
        text("SRT F-61FDB agent", "FDG"),
        uid("DCM 113769 Irradiation Event UID", "1.2.3.9.1.5"),
    )
    metadata = radiopharmaceutical(agent)
    assert components(metadata)["349358000"] == {"text": "FDG"}
    assert components(metadata, 1) == components(metadata)


def test_rows_of_ours_can_be_turned_off():
    """`DicomCast__Features__ExtendedMapping`."""
    bare = MappingOptions("https://d", extended=False)
    assert components(xray(xray_event(1)), 1).keys() == {"122130", "113738", "113768"}
    assert components(xray(xray_event(1)), 1, bare) == {}


@pytest.mark.parametrize(("keyword", "elements"), [("PatientID", {"PatientID": ""}), ("SOPInstanceUID", {"SOPInstanceUID": None}), ("StudyInstanceUID", {"StudyInstanceUID": None})])  # fmt: skip
def test_a_required_tag_is_named(keyword, elements):
    """Without it the Observation has no subject, no study or no identity."""
    with pytest.raises(InvalidDicomTagError, match=keyword):
        mapped(ct(**elements))


def test_enforced_validation_refuses_the_report():
    """`EnforceValidationOfTagValues`: content items count as tags do."""
    with pytest.raises(InvalidDicomTagError, match="113838 DLP: one unit"):
        mapped(ct(ct_event(1, dlp=num(DLP, 1, None))), MappingOptions("https://d", enforce_validation=True))


def test_a_report_without_a_tree_says_nothing():
    """No Observation without content, and the reason."""
    metadata = {key: element for key, element in ONE_CT.items() if key != "0040A730"}
    assert mapped(metadata).observations == ()
    assert [str(fault) for fault in mapped(metadata).faults] == [
        "(0040,A730) ContentSequence (SQ): required of a dose report, and missing or empty"
    ]


# DICOM's own dictionary (PS3.16 D, CIDs), as pydicom has it; the names of PS3.16's templates where they differ.
DICTIONARY = {("DCM", code): words[0] for names in concepts["DCM"].values() for code, words in names.items()}  # type: ignore[attr-defined]
NAMES = [row.name for row in COMPONENTS] + [name for name in vars(dose_table).values() if isinstance(name, ConceptName)]


@pytest.mark.parametrize("name", [name for name in NAMES if name.scheme == "DCM"], ids=str)
def test_each_concept_is_the_standards(name):
    """Code and meaning belong together."""
    assert DICTIONARY["DCM", name.code].removesuffix(" (mammo)") == name.meaning


@pytest.mark.parametrize(("former", "code"), [("C-10072", "89457008"), ("G-C340", "410675002")])
def test_former_codes_are_the_standards(former, code):
    """SNOMED RT and CT, by the map of PS3.16 O that pydicom has (it lacks F-61FDB)."""
    assert Code(former, "SRT", "") == Code(code, "SCT", "")
    (row,) = (row for row in COMPONENTS if row.name.code == code)
    assert ("SRT", former) in row.name.known_as


def test_moments_are_dated_items():
    """An item of another kind under that name is told."""
    broken = xray(
        container(
            "DCM 113706 Irradiation Event X-Ray Data",
            text("DCM 111526 DateTime Started", "x"),
            uid("DCM 113769 Irradiation Event UID", "1.2.3"),
        )
    )
    assert faults(broken) == ["DCM 111526 DateTime Started: value type DATETIME is expected"]
