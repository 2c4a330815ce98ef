"""Coded entries -> CodeableConcept: known schemes have FHIR's systems, a site's own has none."""

import pytest
from pydicom.sr._snomed_dict import mapping

from shared.mapping.codes import codeable_concepts
from shared.mapping.snomed_rt import codes
from shared.mapping.text import InvalidValueError


def item(**values):
    keys = {"code": "00080100", "long": "00080119", "scheme": "00080102", "uid": "0008010C", "meaning": "00080104"}
    return {keys[name]: {"vr": "LO", "Value": [value]} for name, value in values.items()}


CONCEPTS = [
    # rule                                       item                                                      coding, text
    ("a DICOM code",                             item(code="113014", scheme="DCM", meaning="Study"),       {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "113014", "display": "Study"}, "Study"),
    ("a SNOMED CT code",                         item(code="125605004", scheme="SCT", meaning="Fracture"), {"system": "http://snomed.info/sct", "code": "125605004", "display": "Fracture"}, "Fracture"),
    ("SNOMED RT is not SNOMED CT",               item(code="T-XXXXX", scheme="SRT", meaning="Chest"),      {"system": "http://snomed.info/srt", "code": "T-XXXXX", "display": "Chest"}, "Chest"),
    ("a site's own scheme has no system",        item(code="X1", scheme="99LOCAL", meaning="House"),       {"code": "X1", "display": "House"}, "House"),
    ("a site's own scheme may name its UID",     item(code="X1", scheme="99L", uid="1.2.3", meaning="H"),  {"system": "urn:oid:1.2.3", "code": "X1", "display": "H"}, "H"),
    ("a known scheme has FHIR's system, not its UID", item(code="1", scheme="LN", uid="1.2.3", meaning="One"), {"system": "http://loinc.org", "code": "1", "display": "One"}, "One"),
    ("a long code",                              item(long="L" * 17, scheme="LN", meaning="Long"),         {"system": "http://loinc.org", "code": "L" * 17, "display": "Long"}, "Long"),
    ("a code without a meaning",                 item(code="X1", scheme="LN"),                             {"system": "http://loinc.org", "code": "X1"}, None),
    ("a meaning without a code",                 item(meaning="Pain"),                                     None, "Pain"),
]  # fmt: skip


def test_a_retired_snomed_code_is_told_by_its_present_one_too():
    """First what it is in SNOMED CT, without words that are not SNOMED CT's; the sender's coding beside it."""
    (concept,) = codeable_concepts([item(code="T-D3000", scheme="SRT", meaning="Chest")])
    former = {"system": "http://snomed.info/srt", "code": "T-D3000", "display": "Chest"}
    assert concept == {"coding": [{"system": "http://snomed.info/sct", "code": "51185008"}, former], "text": "Chest"}


def test_the_retired_codes_are_the_standards():
    """PS3.16 Annex O, as pydicom has it."""
    assert codes() == mapping["SRT"]
    assert len(codes()) > 7_000


@pytest.mark.parametrize(("rule", "entry", "coding", "text"), CONCEPTS, ids=[row[0] for row in CONCEPTS])
def test_a_coded_entry(rule, entry, coding, text):
    """PS3.3 8.8, PS3.16 8."""
    (concept,) = codeable_concepts([entry])
    assert concept.get("coding") == ([coding] if coding else None), rule
    assert concept.get("text") == text


def test_an_item_that_says_nothing_is_a_fault():
    """Neither code nor meaning."""
    with pytest.raises(InvalidValueError, match="neither a code nor a meaning"):
        codeable_concepts([{}])
