"""Table + entry -> what the resources should say, and which tags are to blame where they say less."""

import pytest

from shared.errors import InvalidDicomTagError
from shared.mapping.converters import urn
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper, map_endpoint
from tests.fakes import entry

OPTIONS = MappingOptions("https://dicom.example.org")

# rule, element changed, scope, FHIR element, what it says
SAYS = [
    ("a sex is a gender", {"t00100040": "F"}, "patient", "gender", "female"),
    ("a date alone is a date", {"t00080020": "20040119"}, "study", "started", "2004-01-19"),
    ("an hour alone gives a date", {"t00080020": "20040119", "t00080030": "07"}, "study", "started", "2004-01-19"),
    (
        "date and time have the default offset",
        {"t00080020": "20040119", "t00080030": "0727"},
        "study",
        "started",
        "2004-01-19T07:27:00+00:00",
    ),
    (
        "milliseconds and the offset are kept",
        {"t00080020": "20040119", "t00080030": "072730.5", "t00080201": "-0330"},
        "study",
        "started",
        "2004-01-19T07:27:30.500-03:30",
    ),
    ("a time without a date says nothing", {"t00080030": "0727"}, "study", "started", None),
    ("a broken time leaves the date", {"t00080020": "20040119", "t00080030": "9999"}, "study", "started", "2004-01-19"),
    ("a series number may be text", {"t00200011": "3"}, "series", "number", 3),
    ("an instance number may be 0", {"t00200013": 0}, "instance", "number", 0),
    ("a series number may be 0", {"t00200011": "0"}, "series", "number", 0),
    ("a negative number is left out", {"t00200013": -1}, "instance", "number", None),
    ("a family name may be missing", {"t00100010": {"vr": "PN", "Value": [{"Alphabetic": "^Ada"}]}}, "patient", "name",
     [{"use": "usual", "given": ["Ada"]}]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tags", "scope", "element", "said"), SAYS, ids=[row[0] for row in SAYS])
def test_says(rule, tags, scope, element, said):
    """One row per rule of the design's mapping section."""
    mapped = StudyMapper(OPTIONS).map(entry(**tags))
    assert getattr(mapped, scope).set.get(element) == said, rule


def test_a_name_whose_groups_stand_inside_alphabetic():
    """The patient's, the referrer's and the performer's alike: as a service has sent them that knows no other group."""
    name = {"vr": "PN", "Value": [{"Alphabetic": "Roe^Kim=路^金=ろ^きむ"}]}
    mapped = StudyMapper(OPTIONS).map(entry(t00100010=name, t00080090=name, t00081050=name))
    assert [(one["family"], one["given"]) for one in mapped.patient.set["name"]] == [
        ("Roe", ["Kim"]), ("路", ["金"]), ("ろ", ["きむ"]),
    ]  # fmt: skip
    assert mapped.study.fill["referrer"] == {"display": "Kim Roe"}
    assert [one["actor"] for one in mapped.series.add["performer"]] == [{"display": "Kim Roe"}]
    assert not mapped.faults


@pytest.mark.parametrize(
    ("keyword", "tags"),
    [
        ("PatientID", {"t00100020": None}),
        ("PatientID", {"t00100020": "A" * 65}),
        ("StudyInstanceUID", {"t0020000d": None}),
        ("SeriesInstanceUID", {"t0020000e": "1.2.x"}),
        ("SOPInstanceUID", {"t00080018": ""}),
        ("SOPClassUID", {"t00080016": None}),
        ("Modality", {"t00080060": {"vr": "CS", "Value": ["CT", "MR"]}}),
    ],
)
def test_a_required_tag_is_named(keyword, tags):
    """Missing, empty or invalid: the entry is not synced, and the error says which tag."""
    with pytest.raises(InvalidDicomTagError, match=keyword) as caught:
        StudyMapper(OPTIONS).map(entry(**tags))
    assert [tag.keyword for tag in caught.value.tags] == [keyword]


def test_metadata_of_another_instance_is_refused():
    """Written under either UID it would be wrong."""
    with pytest.raises(InvalidDicomTagError, match=r"SOPInstanceUID.*differs"):
        StudyMapper(OPTIONS).map(entry(t00080018="9.9.9".replace("9", "1")))


def test_an_invalid_optional_tag_spoils_itself_alone():
    """The rest is mapped, and the fault names tag, keyword, VR and rule."""
    mapped = StudyMapper(OPTIONS).map(entry(t00100040="X", t00200013="7"))
    assert "gender" not in mapped.patient.set
    assert mapped.instance.set["number"] == 7
    assert [str(fault) for fault in mapped.faults] == ["(0010,0040) PatientSex (CS): not one of F, M, O"]


def test_an_offset_of_another_form_is_told_and_the_default_used():
    """As one vendor writes it: a time that may be hours off is better told than guessed right."""
    tags = {"t00080020": "20040119", "t00080030": "0727", "t00080201": "UTC-04:00"}
    mapped = StudyMapper(OPTIONS).map(entry(**tags))
    assert mapped.study.set["started"] == "2004-01-19T07:27:00+00:00"
    assert [str(fault) for fault in mapped.faults] == [
        "(0008,0201) TimezoneOffsetFromUTC (SH): an offset +HHMM or -HHMM is expected"
    ]


def test_enforced_validation_refuses_the_entry():
    """`EnforceValidationOfTagValues`: no entry with any invalid mapped tag, nor the next with the same."""
    mapper = StudyMapper(MappingOptions("https://dicom.example.org", enforce_validation=True))
    for sequence in (1, 2):
        with pytest.raises(InvalidDicomTagError, match="PatientSex"):
            mapper.map(entry(sequence, t00100040="X"))


def test_a_fault_that_a_whole_study_shares_is_told_once():
    """1,000 slices with one broken study date are one row, not 1,000."""
    mapper = StudyMapper(OPTIONS)
    faults = [mapper.map(entry(n, instance=f"1.2.{n}", t00080020="20049999")).faults for n in range(1, 4)]
    assert [len(told) for told in faults] == [1, 0, 0]


def test_the_issuer_can_be_the_system():
    """`Patient__IsIssuerIdUsed`."""
    mapper = StudyMapper(MappingOptions("https://d", use_issuer=True))
    mapped = mapper.map(entry(t00100021="urn:oid:1.2.3.9"))
    assert mapped.patient.add["identifier"] == [{"system": "urn:oid:1.2.3.9", "value": "P-1"}]


@pytest.mark.parametrize("issuer", [{"vr": "LO", "Value": ["I", "J"]}, "I" * 65, 7, "I\x07"], ids=str)
def test_an_issuer_that_cannot_be_used_refuses_the_entry(issuer):
    """Whose PatientID it is, is not known: whoever has it without a system is another. Where none is used, it tells."""
    with pytest.raises(InvalidDicomTagError) as caught:
        StudyMapper(MappingOptions("https://d", use_issuer=True)).map(entry(t00100021=issuer))
    assert [tag.keyword for tag in caught.value.tags] == ["IssuerOfPatientID"]
    mapped = StudyMapper(OPTIONS).map(entry(t00100021=issuer))
    assert [tag.keyword for tag in mapped.faults] == ["IssuerOfPatientID"]
    assert mapped.patient.add["identifier"] == [{"value": "P-1"}]


def qualifiers(universal="1.2.9", kind="ISO", **more):
    """IssuerOfPatientIDQualifiersSequence of one item."""
    said = {"00400032": universal, "00400033": kind}
    item = {tag: {"vr": "UT", "Value": [value]} for tag, value in said.items() if value} | more
    return {"vr": "SQ", "Value": [item]}


NAMED, DEFAULT = {"HOSPITAL": "urn:oid:1.2.3"}, "https://mpi.example.org"
ISSUERS = [
    # rule, IssuerOfPatientID, qualifiers, settings, system
    ("by default neither is heeded", "HOSPITAL", qualifiers(), {}, None),
    ("nor beside the setting's system", "HOSPITAL", qualifiers(), {"patient_system": DEFAULT}, DEFAULT),
    ("nor the qualifiers where the issuer is", "HOSPITAL", qualifiers(), {"use_issuer": True}, "HOSPITAL"),
    ("the table names the issuer's system", "HOSPITAL", None, {"issuer_systems": NAMED}, "urn:oid:1.2.3"),
    ("an issuer that it has not is one of its own", "OTHER A", None, {"issuer_systems": NAMED}, "OTHER%20A"),
    ("no issuer: the setting's", None, None, {"issuer_systems": NAMED, "patient_system": DEFAULT}, DEFAULT),
    ("no issuer, where issuers are used: none", None, None, {"issuer_systems": NAMED, "use_issuer": True, "patient_system": DEFAULT}, None),
    ("the universal ID before the table", "HOSPITAL", qualifiers(), {"issuer_systems": NAMED}, "urn:oid:1.2.9"),
    ("the universal ID alone", None, qualifiers(), {"issuer_systems": {}}, "urn:oid:1.2.9"),
    ("a URI", None, qualifiers("https://a.example", "URI"), {"issuer_systems": {}}, "https://a.example"),
    ("a host name beside an issuer", "HOSPITAL", qualifiers("a.example", "DNS"), {"issuer_systems": NAMED}, "urn:oid:1.2.3"),
    ("qualifiers without a universal ID", "HOSPITAL", qualifiers(None, None), {"issuer_systems": NAMED}, "urn:oid:1.2.3"),
    ("an empty sequence", None, {"vr": "SQ", "Value": []}, {"issuer_systems": NAMED, "patient_system": DEFAULT}, DEFAULT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "issuer", "qualified", "settings", "system"), ISSUERS, ids=[row[0] for row in ISSUERS]
)
def test_the_system_of_a_patient_id(rule, issuer, qualified, settings, system):
    """`Patient__IssuerSystems` has issuers told apart by it; what links to the Patient names the same one."""
    mapped = StudyMapper(MappingOptions("https://d", **settings)).map(entry(t00100021=issuer, t00100024=qualified))
    expected = {"system": system, "value": "P-1"} if system else {"value": "P-1"}
    assert mapped.patient.add["identifier"] == [expected], rule
    assert mapped.study.set["subject"] == {"reference": urn("Patient", system or "", "P-1")}
    assert mapped.faults == ()


@pytest.mark.parametrize(
    "qualified",
    [
        qualifiers("1.2.x"),
        qualifiers("1.2.3", "L"),
        qualifiers("a.example", "DNS"),
        {"vr": "SQ", "Value": [*qualifiers()["Value"], *qualifiers("1.3")["Value"]]},
        {"vr": "SQ", "Value": ["x"]},
        {"vr": "SQ", "BulkDataURI": "x"},
    ],
    ids=str,
)
def test_qualifiers_that_cannot_be_used_refuse_the_entry(qualified):
    """Whose PatientID it is, is not known; where issuers are not heeded it does not matter."""
    tags = {"t00100024": qualified, "t00100021": None}
    with pytest.raises(InvalidDicomTagError) as caught:
        StudyMapper(MappingOptions("https://d", issuer_systems=NAMED, patient_system=DEFAULT)).map(entry(**tags))
    assert {tag.keyword for tag in caught.value.tags} == {"IssuerOfPatientIDQualifiersSequence"}
    mapped = StudyMapper(OPTIONS).map(entry(**tags))
    assert mapped.patient.add["identifier"] == [{"value": "P-1"}]


def test_the_type_of_the_identifier():
    """`Patient__IdentifierType`; none by default."""
    mapped = StudyMapper(MappingOptions("https://d", identifier_type="MR")).map(entry())
    type_ = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    assert mapped.patient.add["identifier"] == [{"type": type_, "value": "P-1"}]


def test_the_endpoint_says_where_the_studies_are():
    """The specification's Endpoint table."""
    assert map_endpoint(OPTIONS).create == {
        "meta": {"tag": [{"system": "urn:dicom-cast:source", "code": "https://dicom.example.org"}]},
        "identifier": [{"system": "urn:dicom-cast:source", "value": "https://dicom.example.org"}],
        "status": "active",
        "name": "DICOM WADO-RS endpoint https://dicom.example.org",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "dicom-wado-rs",
        },
        "payloadType": [{"text": "DICOM WADO-RS"}],
        "payloadMimeType": ["application/dicom"],
        "address": "https://dicom.example.org",
    }
