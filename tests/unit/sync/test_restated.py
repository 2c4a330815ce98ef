"""What stands in FHIR in a former form, of other settings or an older release: said anew once, and not beside it."""

from shared.mapping.converters import MappingOptions
from shared.mapping.last_applied import mark
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")
RETIRED = {"00080100": {"vr": "SH", "Value": ["T-D3000"]}, "00080102": {"vr": "SH", "Value": ["SRT"]}}
CODES = {"t00081032": {"vr": "SQ", "Value": [RETIRED]}}


def synced(fhir, *entries):
    run_batch(ports(list(entries), fhir=fhir), BatchOptions(OPTIONS, size=100))
    (study,) = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    return study


def test_a_code_that_an_older_release_wrote_without_its_present_one():
    """With the next instance the study says it in its present form; what another wrote of it stays."""
    fhir = FakeFhir()
    study = synced(fhir, entry(1, **CODES))
    (present,) = study["procedureCode"]
    former, theirs = {"coding": present["coding"][1:]}, {"coding": present["coding"][1:], "text": "theirs"}
    study["procedureCode"] = [former, theirs]
    record = study["extension"][0]
    marks = {*record["valueString"].split(), mark("procedureCode", former)} - {mark("procedureCode", present)}
    record["valueString"] = " ".join(sorted(marks))
    entries = entry(1, **CODES), entry(2, instance="1.2.3.4.9", **CODES)
    assert synced(fhir, *entries)["procedureCode"] == [theirs, present]
    sent = len(fhir.bundles)
    synced(fhir, *entries)
    assert len(fhir.bundles) == sent
