"""The mapping table against the DICOM data dictionary and against the specification."""

from pkgutil import resolve_name

import pytest

from shared.mapping.converters import MadeBy
from shared.mapping.dicom_json import Tag
from shared.mapping.table import TABLE, How

# Number, keyword, VR and VM as PS3.6 table 6-1 prints them.
DICTIONARY = """
    (0008,0016) SOPClassUID                             UI  1
    (0008,0018) SOPInstanceUID                          UI  1
    (0008,0020) StudyDate                               DA  1
    (0008,0021) SeriesDate                              DA  1
    (0008,0023) ContentDate                             DA  1
    (0008,0030) StudyTime                               TM  1
    (0008,0031) SeriesTime                              TM  1
    (0008,0033) ContentTime                             TM  1
    (0008,0050) AccessionNumber                         SH  1
    (0008,0051) IssuerOfAccessionNumberSequence         SQ  1
    (0008,0060) Modality                                CS  1
    (0008,0070) Manufacturer                            LO  1
    (0008,0090) ReferringPhysicianName                  PN  1
    (0008,0110) CodingSchemeIdentificationSequence      SQ  1
    (0008,0201) TimezoneOffsetFromUTC                   SH  1
    (0008,1010) StationName                             SH  1
    (0008,1030) StudyDescription                        LO  1
    (0008,1032) ProcedureCodeSequence                   SQ  1
    (0008,103E) SeriesDescription                       LO  1
    (0008,1050) PerformingPhysicianName                 PN  1-n
    (0008,1070) OperatorsName                           PN  1-n
    (0008,1090) ManufacturerModelName                   LO  1
    (0008,2218) AnatomicRegionSequence                  SQ  1
    (0010,0010) PatientName                             PN  1
    (0010,0020) PatientID                               LO  1
    (0010,0021) IssuerOfPatientID                       LO  1
    (0010,0024) IssuerOfPatientIDQualifiersSequence     SQ  1
    (0010,0030) PatientBirthDate                        DA  1
    (0010,0040) PatientSex                              CS  1
    (0010,1002) OtherPatientIDsSequence                 SQ  1
    (0018,0015) BodyPartExamined                        CS  1
    (0020,000D) StudyInstanceUID                        UI  1
    (0020,000E) SeriesInstanceUID                       UI  1
    (0020,0011) SeriesNumber                            IS  1
    (0020,0013) InstanceNumber                          IS  1
    (0020,0060) Laterality                              CS  1
    (0020,0062) ImageLaterality                         CS  1
    (0032,1060) RequestedProcedureDescription           LO  1
    (0032,1064) RequestedProcedureCodeSequence          SQ  1
    (0040,0260) PerformedProtocolCodeSequence           SQ  1
    (0040,0275) RequestAttributesSequence               SQ  1
    (0040,1002) ReasonForTheRequestedProcedure          LO  1
    (0040,100A) ReasonForRequestedProcedureCodeSequence SQ  1
    (0040,A043) ConceptNameCodeSequence                 SQ  1
    (0040,A491) CompletionFlag                          CS  1
    (0040,A493) VerificationFlag                        CS  1
    (0042,0010) DocumentTitle                           ST  1
"""

# The specification's tables: FHIR path -> keywords, required. `:` stands for `.where(`.
SPECIFICATION = {
    "Patient.identifier:system": (["PatientID"], True),
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


def test_each_tag_is_the_dictionarys():
    """Number, keyword, VR, and whether there may be several; a sequence is a list of items, whatever its VM."""
    printed = [line.split() for line in DICTIONARY.split("\n") if line.strip()]
    expected = {(number, keyword, vr, vm != "1" or vr == "SQ") for number, keyword, vr, vm in printed}
    assert {(tag.display, tag.keyword, tag.vr, tag.many) for row in TABLE for tag in row.tags} == expected
    assert {tag.key for row in TABLE for tag in row.tags} == {
        number.strip("()").replace(",", "") for number, *_ in printed
    }


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


def test_what_no_converter_makes_names_the_function_that_does():
    """Each such function exists; a derived element of ImagingStudy is never one of a converter."""
    made = [row for row in TABLE if isinstance(row.convert, MadeBy)]
    assert all(callable(resolve_name(f"shared.mapping.{row.convert.function}")) for row in made)
    derived = {row.path for row in TABLE if row.how is How.DERIVE and row.path.startswith("ImagingStudy")}
    assert derived <= {row.path for row in made}
