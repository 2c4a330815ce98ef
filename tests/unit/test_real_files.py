"""Every file inside pydicom that carries the UIDs: synced into valid FHIR R4, or refused for a named tag."""

import json

import pytest

from local.dicom_service.instance import read_instance
from local.samples import pydicom_files
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.failures import ErrorTable
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import NOW, FakeFhir, ports
from tests.r4 import faults

FILES = pydicom_files()
OPTIONS = MappingOptions("https://dicom.example.org")
# These lack what the specification requires; every other file is synced.
REFUSED = {
    "ExplVR_BigEnd.dcm": "PatientID",
    "GDCMJ2K_TextGBR.dcm": "PatientID",
    "SC_jpeg_no_color_transform.dcm": "PatientID",
    "SC_jpeg_no_color_transform_2.dcm": "PatientID",
    "SC_rgb_jpeg.dcm": "PatientID",
    "SC_rgb_jpeg_app14_dcmd.dcm": "PatientID",
    "SC_rgb_jpeg_dcmd.dcm": "PatientID",
    "image_dfl.dcm": "PatientID",
    "reportsi.dcm": "PatientID",
    "reportsi_with_empty_number_tags.dcm": "PatientID",
    "test-SR.dcm": "PatientID",
}


def entry_of_file(path):
    """As the DICOM service would put it into its feed."""
    read = read_instance(path.read_bytes(), None)
    metadata = json.loads(read.metadata)
    uids = (read.study_instance_uid, read.series_instance_uid, read.sop_instance_uid)
    return ChangeFeedEntry(1, *uids, Action.CREATE, State.CURRENT, NOW.isoformat(), metadata=metadata)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_file(path):
    """Valid by both validators; the second run writes nothing."""
    fhir = FakeFhir()
    entry = entry_of_file(path)
    (result,) = StudySync(ports(fhir=fhir), OPTIONS).run_all([Study([entry])])
    final = [row for row in result.failures if row.is_final]
    if path.name in REFUSED:
        assert [row.table for row in final] == [ErrorTable.DICOM]
        assert REFUSED[path.name] in final[0].message
        return
    assert final == []
    sent = [one["resource"] for bundle in fhir.endpoints + fhir.bundles for one in bundle["entry"]]
    assert [one["resourceType"] for one in sent] == ["Endpoint", "Patient", "ImagingStudy"]
    assert [faults(one) for one in sent] == [[], [], []]
    (again,) = StudySync(ports(fhir=fhir), OPTIONS).run_all([Study([entry])])
    assert not again.wrote


def test_the_files_are_many_and_of_many_kinds():
    """The test above is not empty."""
    modalities = {entry_of_file(path).metadata.get("00080060", {}).get("Value", [None])[0] for path in FILES}
    assert len(FILES) > 150
    assert {"CT", "MR", "US", "NM", "CR", "SR", "SEG", "RTDOSE", "RTPLAN", "ECG", "OT"} <= modalities
