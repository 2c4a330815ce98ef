"""Coded entries -> CodeableConcept: known schemes have FHIR's systems, a site's own has none."""

import pytest
from pydicom.sr._snomed_dict import mapping

from shared.mapping.codes import SYSTEMS, codeable_concepts, codings_without_system
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from shared.mapping.snomed_rt import codes
from shared.mapping.text import InvalidValueError
from tests.dose_reports import administration, coded, radiopharmaceutical
from tests.fakes import entry
from tests.unit.test_real_files import FILES, OPTIONS, REFUSED, entry_of_file


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


NONE, OWN = {"system": "urn:x", "code": "1"}, {"code": "1", "display": "Own"}
WITHOUT_SYSTEM = [
    # rule                                  resource                                                                               counted
    ("nothing is there",                    None,                                                                                  {}),
    ("each coding of a list",               {"resourceType": "ImagingStudy", "procedureCode": [{"coding": [OWN, NONE]}, {"coding": [OWN]}]}, {"ImagingStudy.procedureCode": 2}),
    ("a Coding of a series",                {"resourceType": "ImagingStudy", "series": [{"bodySite": OWN}, {"bodySite": NONE}, {}]}, {"ImagingStudy.series.bodySite": 1}),
    ("a display is no code",                {"resourceType": "ImagingStudy", "series": [{"bodySite": {"display": "Own"}}]},        {}),
    ("a value of a component",              {"resourceType": "Observation", "component": [{"code": {"coding": [NONE]}, "valueCodeableConcept": {"coding": [OWN]}}]}, {"Observation.component": 1}),
    ("another's element is none of ours",   {"resourceType": "ImagingStudy", "interpreter": [OWN], "procedureCode": "no list"},    {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "counted"), [row[1:] for row in WITHOUT_SYSTEM], ids=[row[0] for row in WITHOUT_SYSTEM]
)
def test_codings_without_a_system(resource, counted):
    """By the element, never by the code."""
    assert codings_without_system(resource) == counted


def test_a_retired_snomed_code_is_told_by_its_present_one_too():
    """First what it is in SNOMED CT, without words that are not SNOMED CT's; the sender's coding beside it."""
    (concept,) = codeable_concepts([item(code="T-D3000", scheme="SRT", meaning="Chest")])
    former = {"system": "http://snomed.info/srt", "code": "T-D3000", "display": "Chest"}
    assert concept == {"coding": [{"system": "http://snomed.info/sct", "code": "51185008"}, former], "text": "Chest"}


def test_the_retired_codes_are_the_standards():
    """PS3.16 Annex O, as pydicom has it."""
    assert codes() == mapping["SRT"]
    assert len(codes()) > 7_000


@pytest.mark.parametrize(("rule", "said", "coding", "text"), CONCEPTS, ids=[row[0] for row in CONCEPTS])
def test_a_coded_entry(rule, said, coding, text):
    """PS3.3 8.8, PS3.16 8."""
    (concept,) = codeable_concepts([said])
    assert concept.get("coding") == ([coding] if coding else None), rule
    assert concept.get("text") == text


def test_an_item_that_says_nothing_is_a_fault():
    """Neither code nor meaning."""
    with pytest.raises(InvalidValueError, match="neither a code nor a meaning"):
        codeable_concepts([{}])


SITE = MappingOptions(
    "https://d", coding_schemes={"99SITE": "https://site.example/codes", "DCM": "https://site.example/dcm"}
)
IDENTIFIED = item(scheme="99SITE", uid="1.2.3")
SCHEMES = [
    # rule, settings, what the instance says of its schemes, the code, its system
    ("nobody says", MappingOptions("https://d"), [], item(code="X", scheme="99SITE"), None),
    ("the settings", SITE, [], item(code="X", scheme="99SITE"), "https://site.example/codes"),
    ("another designator", SITE, [], item(code="X", scheme="99OTHER"), None),
    ("the instance", MappingOptions("https://d"), [IDENTIFIED], item(code="X", scheme="99SITE"), "urn:oid:1.2.3"),
    ("the instance before the settings", SITE, [IDENTIFIED], item(code="X", scheme="99SITE"), "urn:oid:1.2.3"),
    ("the code before both", SITE, [IDENTIFIED], item(code="X", scheme="99SITE", uid="1.9"), "urn:oid:1.9"),
    ("the standard before all", SITE, [item(scheme="LN", uid="1.2")], item(code="X", scheme="LN"), "http://loinc.org"),
    ("the standard before the settings", SITE, [], item(code="X", scheme="DCM"), SYSTEMS["DCM"]),
    ("a broken item beside a sound one", SITE, [item(scheme="99SITE", uid="no UID"), 7], item(code="X", scheme="99SITE"),
     "https://site.example/codes"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "options", "identified", "code", "system"), SCHEMES, ids=[row[0] for row in SCHEMES])
def test_the_system_of_a_sites_own_codes(rule, options, identified, code, system):
    """In what was done, why, and where: the same."""
    sequence = {"vr": "SQ", "Value": [code]}
    tags = {"t00081032": sequence, "t0040100A": sequence, "t00082218": sequence}
    mapped = StudyMapper(options).map(entry(t00080110={"vr": "SQ", "Value": identified}, **tags))
    codings = [mapped.study.add[name][0]["coding"][0] for name in ("procedureCode", "reasonCode")]
    assert [one.get("system") for one in [*codings, mapped.series.set["bodySite"]]] == [system] * 3


def test_the_system_of_a_sites_own_codes_in_a_dose_report():
    """Of its values, by the report's own identification of schemes."""
    agent = coded("SCT 349358000 Radiopharmaceutical agent", "99SITE A1 Agent")
    report = radiopharmaceutical(administration(agent)) | {"00080110": {"vr": "SQ", "Value": [IDENTIFIED]}}
    summary = map_dose_report(report, SITE).observations[0].fragment
    values = [
        one["valueCodeableConcept"]["coding"][0] for one in summary.set["component"] if "valueCodeableConcept" in one
    ]
    assert {"system": "urn:oid:1.2.3", "code": "A1", "display": "Agent"} in values


def test_few_codes_have_no_system():
    """Counted, in the files inside pydicom: what is written without a system is the exception, and told here."""
    found = []
    for path in FILES:
        if path.name not in REFUSED:
            mapped = StudyMapper(OPTIONS).map(entry_of_file(path))
            of_study = [one for name in ("procedureCode", "reasonCode") for one in mapped.study.add.get(name, ())]
            found += [one for concept in of_study for one in concept.get("coding", ())]
            found += [one for one in [mapped.series.set.get("bodySite")] if one and "code" in one]
    assert (len(found), [one["code"] for one in found if "system" not in one]) == (12, [])
