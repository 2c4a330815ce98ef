"""Accession numbers: whose they are, as far as the instance or the settings say it."""

import pytest

from shared.mapping.accession import has_our_shape
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from tests.dose_reports import ct
from tests.fakes import entry

HOSPITAL, DEFAULT = "urn:oid:1.2.3", "https://ris.example.org/accession"
TYPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
SETTINGS = {"accession_system": DEFAULT, "accession_issuers": {"HOSPITAL": HOSPITAL}}


def issuer(local=None, universal=None, kind=None):
    """An item of the HL7v2 Hierarchic Designator Macro."""
    said = (("00400031", "UT", local), ("00400032", "UT", universal), ("00400033", "CS", kind))
    return {tag: {"vr": vr, "Value": [value]} for tag, vr, value in said if value is not None}


def sequence(*items):
    return {"vr": "SQ", "Value": list(items)}


def identifiers(issuers, **settings):
    """The accession numbers that are written, and what is told of (0008,0051)."""
    mapper = StudyMapper(MappingOptions("https://dicom.example.org", **settings))
    mapped = mapper.map(entry(t00080050="A-7", t00080051=issuers))
    assert {fault.tag for fault in mapped.faults} <= {"(0008,0051)"}
    return mapped.study.add["identifier"][1:], [fault.rule for fault in mapped.faults]


SAYS = [
    # rule, issuer sequence, settings, system, assigner
    ("none, as DICOM Cast wrote it", None, {}, None, None),
    ("the setting's where the instance names none", None, SETTINGS, DEFAULT, None),
    ("an empty sequence names none", sequence(), SETTINGS, DEFAULT, None),
    ("an empty item names none", sequence({}), SETTINGS, DEFAULT, None),
    ("an OID", sequence(issuer(None, "1.2.840.9", "ISO")), SETTINGS, "urn:oid:1.2.840.9", None),
    ("a URI as it is", sequence(issuer(None, "https://a.example/n", "URI")), {}, "https://a.example/n", None),
    ("a UUID", sequence(issuer(None, "6FA459EA-EE8A-3CA4-894E-DB77E160355E", "UUID")), {}, "urn:uuid:6fa459ea-ee8a-3ca4-894e-db77e160355e", None),
    ("a local name of the table", sequence(issuer("HOSPITAL")), SETTINGS, HOSPITAL, "HOSPITAL"),
    ("a local name as the assigner", sequence(issuer("RADIOLOGY", "1.2.840.9", "ISO")), {}, "urn:oid:1.2.840.9", "RADIOLOGY"),
    ("the universal ID before the table", sequence(issuer("HOSPITAL", "1.2.840.9", "ISO")), SETTINGS, "urn:oid:1.2.840.9", "HOSPITAL"),
    ("a local name that nobody knows: not the setting's", sequence(issuer("OTHER")), SETTINGS, None, "OTHER"),
    ("a host name is no system", sequence(issuer(None, "ris.example.org", "DNS")), SETTINGS, None, "ris.example.org"),
    ("the table knows who has a host name", sequence(issuer("HOSPITAL", "ris.example.org", "DNS")), SETTINGS, HOSPITAL, "HOSPITAL"),
    ("without the extended mapping the setting's", None, {**SETTINGS, "extended": False}, DEFAULT, None),
    ("without it an issuer is not read", sequence(issuer("HOSPITAL")), {**SETTINGS, "extended": False}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "issuers", "settings", "system", "assigner"), SAYS, ids=[row[0] for row in SAYS])
def test_whose_an_accession_number_is(rule, issuers, settings, system, assigner):
    """What is said of the issuer becomes the identifier's system and assigner, and nothing else does."""
    expected = {"type": TYPE, "value": "A-7"}
    expected |= {"system": system} if system else {}
    expected |= {"assigner": {"display": assigner}} if assigner else {}
    assert identifiers(issuers, **settings) == ([expected], [])
    assert has_our_shape(expected)


BROKEN = [
    ("several issuers", sequence(issuer("HOSPITAL"), issuer("OTHER"))),
    ("an OID that is none", sequence(issuer("HOSPITAL", "1.2.x", "ISO"))),
    ("a URI without a scheme", sequence(issuer("HOSPITAL", "ris.example.org", "URI"))),
    ("a URI with blanks", sequence(issuer("HOSPITAL", "urn:a b", "URI"))),
    ("a UUID that is none", sequence(issuer("HOSPITAL", "7", "UUID"))),
    ("a type that is none", sequence(issuer("HOSPITAL", "1.2.3", "L"))),
    ("no type", sequence(issuer("HOSPITAL", "1.2.3"))),
    ("a sequence of texts", sequence("HOSPITAL")),
    ("a sequence as bulk data", {"vr": "SQ", "BulkDataURI": "x"}),
    ("a name that is no text", sequence({"00400031": {"vr": "UT", "Value": [7]}})),
]


@pytest.mark.parametrize(("rule", "issuers"), BROKEN, ids=[row[0] for row in BROKEN])
def test_an_issuer_that_cannot_be_used(rule, issuers):
    """The number is written without a system: the setting's may be another's. What is wrong is told of (0008,0051)."""
    written, told = identifiers(issuers, **SETTINGS)
    assert written == [{"type": TYPE, "value": "A-7"}]
    assert len(told) == 1
    assert "HOSPITAL" not in told[0]


def test_an_issuer_without_a_number_says_nothing():
    """There is nothing that it assigned."""
    mapped = StudyMapper(MappingOptions("https://d", **SETTINGS)).map(entry(t00080051=sequence(issuer("HOSPITAL"))))
    assert (len(mapped.study.add["identifier"]), mapped.faults) == (1, ())


def test_a_dose_observation_says_the_same():
    """Its summary has the number as the study has it."""
    report = ct(AccessionNumber="A-7") | {"00080051": sequence(issuer("HOSPITAL"))}
    (summary, *_) = map_dose_report(report, MappingOptions("https://d", **SETTINGS)).observations
    assert {"type": TYPE, "system": HOSPITAL, "value": "A-7", "assigner": {"display": "HOSPITAL"}} in summary.fragment.add["identifier"]  # fmt: skip


SHAPES = [
    ({"type": TYPE, "value": "A"}, True),
    ({"type": TYPE, "value": "A", "system": "urn:x"}, True),
    ({"type": TYPE, "value": "A", "assigner": {"display": "H"}}, True),
    ({"type": TYPE, "value": "A", "assigner": {"reference": "Organization/1"}}, False),
    ({"type": TYPE, "value": "A", "assigner": "H"}, False),
    ({"type": TYPE, "value": "A", "use": "official"}, False),
    ({"type": {"coding": [{"code": "PLAC"}]}, "value": "A"}, False),
    ({"value": "A"}, False),
]


@pytest.mark.parametrize(("identifier", "ours"), SHAPES, ids=str)
def test_the_shape_of_ours(identifier, ours):
    """Where no record is kept it is all that tells ours from another's."""
    assert has_our_shape(identifier) is ours
