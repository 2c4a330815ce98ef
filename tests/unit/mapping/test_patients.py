"""Who a patient is: the identifier that the mapping makes, and nothing else."""

from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_patient import merge_patient
from shared.mapping.patients import PatientIdentity, Patients, several_patients
from shared.mapping.resources import StudyMapper
from shared.model.options import PatientUpdatePolicy
from tests.fakes import entry, metadata

OPTIONS = MappingOptions("https://dicom.example.org")
ISSUED = replace(OPTIONS, use_issuer=True)
SYSTEM = replace(OPTIONS, patient_system="urn:x")

# options, PatientID, IssuerOfPatientID -> system and value, or None
ROWS = [
    (OPTIONS, "P-1", None, ("", "P-1")),
    (OPTIONS, " P-1\0", "I", ("", "P-1")),
    (SYSTEM, "P-1", "I", ("urn:x", "P-1")),
    (ISSUED, "P-1", "I ", ("I", "P-1")),
    (ISSUED, "P-1", None, ("", "P-1")),
    (ISSUED, "P-1", "", ("", "P-1")),
    (ISSUED, "P-1", "urn:oid:1.2.3", ("urn:oid:1.2.3", "P-1")),
    (ISSUED, "P-1", "HOSPITAL A", ("HOSPITAL%20A", "P-1")),
    (ISSUED, "P-1", "Klinikum Köln / Süd", ("Klinikum%20K%C3%B6ln%20/%20S%C3%BCd", "P-1")),
    (ISSUED, "P-1", "病\u3000院<A>", ("%E7%97%85%E3%80%80%E9%99%A2%3CA%3E", "P-1")),
    (ISSUED, "P-1", "50% A", ("50%25%20A", "P-1")),
    (ISSUED, "P-1", "100%", ("100%25", "P-1")),
    (ISSUED, "P-1", "http://a/b%20c?d=e&f#g", ("http://a/b%20c?d=e&f#g", "P-1")),
    (replace(OPTIONS, patient_system="my hospital"), "P-1", None, ("my%20hospital", "P-1")),
    (ISSUED, "P-1", {"vr": "LO", "Value": ["I", "J"]}, None),
    (ISSUED, "P-1", "I" * 65, None),
    (ISSUED, "P-1", "I\x07", None),
    (ISSUED, "P-1", {"vr": "LO", "Value": "I"}, None),
    (ISSUED, "P-1", {"vr": "LO", "InlineBinary": "UC0x"}, None),
    (SYSTEM, "P-1", {"vr": "LO", "Value": ["I", "J"]}, ("urn:x", "P-1")),
    (OPTIONS, {"vr": "LO", "Value": ["P-1", None]}, None, ("", "P-1")),
    (OPTIONS, {"vr": "LO", "Value": ["P-1", "P-2"]}, None, None),
    (OPTIONS, {"vr": "LO", "Value": []}, None, None),
    (OPTIONS, {"vr": "LO", "InlineBinary": "UC0x"}, None, None),
    (OPTIONS, {}, None, None),
    (OPTIONS, " ", None, None),
    (OPTIONS, 7, None, None),
    (OPTIONS, None, None, None),
]


@pytest.mark.parametrize(("options", "patient_id", "issuer", "expected"), ROWS)
def test_who_a_patient_is(options, patient_id, issuer, expected):
    """The same as what is looked up and what the study is linked to; asked twice, and among others, too."""
    tags = {"t00100020": patient_id, "t00100021": issuer}
    patients = Patients(options)
    for _, other, issued, _ in ROWS:
        patients.of(metadata(t00100020=other, t00100021=issued))
    found = patients.of(metadata(**tags))
    assert found == patients.of(metadata(**tags)) == Patients(options).of(metadata(**tags))
    assert found == (PatientIdentity(*expected) if expected else None)
    if expected:
        mapped = StudyMapper(options).map(entry(**tags))
        assert (PatientIdentity.of(mapped.patient), found.name) == (found, mapped.study.set["subject"]["reference"])


def test_nothing_names_nobody():
    """A delete has no metadata."""
    assert Patients(OPTIONS).of(None) is None


@pytest.mark.parametrize(
    ("ids", "count"), [([], 0), (["A"], 0), (["A", "A "], 0), (["A", "B", "A"], 2), (["A", "B", "C"], 3)]
)
def test_several_patients_are_told(ids, count):
    """How many, never which."""
    mapper = StudyMapper(OPTIONS)
    told = several_patients(mapper.map(entry(n, instance=f"1.{n}", t00100020=one)) for n, one in enumerate(ids, 1))
    assert (told or "").startswith(f"instances of the study carry {count} PatientIDs: ") == bool(count)


def test_older_words_only_fill():
    """Word by word; the birth date always does."""
    name = {"vr": "PN", "Value": [{"Alphabetic": "New", "Ideographic": "山"}]}
    wanted = StudyMapper(OPTIONS).map(entry(t00100010=name, t00100040="F", t00100030="19700101")).patient
    existing = {
        "resourceType": "Patient",
        "identifier": [{"value": "P-1"}],
        "name": [{"use": "usual", "family": "Old"}],
    }
    merged = merge_patient(existing, wanted, older=["gender", "name "])
    assert [one["family"] for one in merged["name"]] == ["Old", "山"]
    assert (merged["gender"], merged["birthDate"]) == ("female", "1970-01-01")
    assert (
        merge_patient(merged | {"gender": "male", "birthDate": "1960-01-01"}, wanted, older=["gender", "name "]) is None
    )
    assert merge_patient(existing, wanted, PatientUpdatePolicy.NEVER, ["gender"]) is None
    assert merge_patient(None, wanted, older=["gender", "name "])["name"][0]["family"] == "New"
