"""The mapping table against the DICOM data dictionary and against the specification."""

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from shared.mapping.dicom_json import Tag
from shared.mapping.table import TABLE

TAGS = sorted({tag for row in TABLE for tag in row.tags}, key=lambda tag: tag.key)

# The specification's tables: FHIR path -> keywords, required. `:` stands for `.where(`.
SPECIFICATION = {
    "Patient.identifier": (["PatientID"], True),
    "Patient.name": (["PatientName"], False),
    "Patient.gender": (["PatientSex"], False),
    "Patient.birthDate": (["PatientBirthDate"], False),
    "Endpoint.status": ([], False),
    "Endpoint.connectionType": ([], False),
    "Endpoint.address": ([], False),
    "ImagingStudy.identifier:urn:dicom:uid": (["StudyInstanceUID"], True),
    "ImagingStudy.identifier:ACSN": (["AccessionNumber"], False),
    "ImagingStudy.status": ([], False),
    "ImagingStudy.modality": (["Modality"], False),
    "ImagingStudy.started": (["StudyDate", "StudyTime", "TimezoneOffsetFromUTC"], False),
    "ImagingStudy.endpoint": ([], False),
    "ImagingStudy.note": (["StudyDescription"], False),
    "ImagingStudy.series.uid": (["SeriesInstanceUID"], True),
    "ImagingStudy.series.number": (["SeriesNumber"], False),
    "ImagingStudy.series.modality": (["Modality"], True),
    "ImagingStudy.series.description": (["SeriesDescription"], False),
    "ImagingStudy.series.started": (["SeriesDate", "SeriesTime", "TimezoneOffsetFromUTC"], False),
    "ImagingStudy.series.instance.uid": (["SOPInstanceUID"], True),
    "ImagingStudy.series.instance.sopClass": (["SOPClassUID"], True),
    "ImagingStudy.series.instance.number": (["InstanceNumber"], False),
}


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag.keyword)
def test_each_tag_is_the_dictionarys(tag):
    """Number, keyword and VR belong together in PS3.6."""
    assert keyword_for_tag(int(tag.key, 16)) == tag.keyword
    assert dictionary_VR(int(tag.key, 16)) == tag.vr
    assert tag.display == f"({tag.key[:4]},{tag.key[4:]})"


def test_a_tag_with_a_foreign_keyword_is_refused():
    """A slip in the table ends at import, not in a patient's record."""
    with pytest.raises(ValueError, match="no such tag and keyword"):
        Tag.of("(0010,0020) PatientName")


@pytest.mark.parametrize(("path", "said"), SPECIFICATION.items(), ids=str)
def test_each_row_of_the_specification_is_there(path, said):
    """The same tags, the same rows required."""
    bare, _, condition = path.partition(":")
    rows = [row for row in TABLE if row.path.split(".where")[0] == bare and condition in row.path]
    assert len(rows) == 1
    keywords = [tag.keyword for tag in rows[0].tags]
    assert keywords[: len(said[0])] == said[0]
    assert rows[0].required == said[1]
