"""Codings without a system are counted as they are written: once, and by FHIR element alone."""

from dataclasses import replace

from shared.errors import ConflictError, FhirRefusedError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action
from shared.sync.batch import BatchOptions, run_batch
from tests.dose_reports import administration, coded, radiopharmaceutical
from tests.fakes import FakeFeed, FakeFhir, entry, ports, report_entry

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org", generate_observations=True), size=100)
_CODE = {"00080100": {"vr": "SH", "Value": ["X1"]}, "00080102": {"vr": "SH", "Value": ["99OWN"]}}
SITES_OWN = {"vr": "SQ", "Value": [_CODE]}
PROCEDURE = {"ImagingStudy.procedureCode": 1}


def counted(fhir, *entries, size=100):
    feed = FakeFeed(entries, page=size)
    return run_batch(ports(feed=feed, fhir=fhir), replace(OPTIONS, size=size, max_slices=0)).codings_without_system


def of(number, code=SITES_OWN):
    return entry(number, instance=f"1.2.9.{number}", t00081032=code)


def test_what_is_new_in_fhir():
    """Not what stands there, nor what another wrote."""
    fhir = FakeFhir()
    assert counted(fhir, of(1), of(2)) == PROCEDURE
    assert counted(fhir, of(1), of(2)) == {}
    (study,) = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    study["reasonCode"] = [{"coding": [{"code": "theirs"}]}]
    assert counted(fhir, of(1), of(2), of(3)) == {}


def test_a_batch_in_slices():
    """Those of all of them."""
    studies = [entry(number, study=f"1.2.{number}", t00081032=SITES_OWN) for number in (1, 2, 3)]
    assert counted(FakeFhir(), *studies, size=1) == {"ImagingStudy.procedureCode": 3}


def test_a_study_that_is_merged_twice():
    """After a conflict it is written once."""
    assert counted(FakeFhir(faults=[ConflictError("412")]), of(1)) == PROCEDURE


def test_a_study_that_is_refused():
    """It is not written."""
    assert counted(FakeFhir(faults=[FhirRefusedError("422")] * 9), of(1)) == {}


def test_values_of_a_dose_report():
    """Of its summary and its event, as they are created."""
    fhir, route = FakeFhir(), coded("SCT 410675002 Route of administration", "99OWN R1 Own")
    assert counted(fhir, report_entry(radiopharmaceutical(administration(route)))) == {"Observation.component": 2}
    corrected = radiopharmaceutical(administration(route), CompletionFlag="PARTIAL")
    assert counted(fhir, report_entry(corrected, 2, Action.UPDATE)) == {}
    assert {one["status"] for one in fhir.resources if one["resourceType"] == "Observation"} == {"preliminary"}
