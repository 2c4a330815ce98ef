"""What the mapping uses of pydicom's data dictionary (PS3.6) and value rules (PS3.5 6.2): by `make docs`.

To import pydicom itself costs a start a tenth of its CPU time, and 8 MB (docs/adr/0034-loaded-when-needed.md).
"""

from collections.abc import Mapping

ATTRIBUTES: Mapping[str, tuple[str, str, str]] = {
    "SOPClassUID": ("00080016", "UI", "1"),
    "SOPInstanceUID": ("00080018", "UI", "1"),
    "StudyDate": ("00080020", "DA", "1"),
    "SeriesDate": ("00080021", "DA", "1"),
    "ContentDate": ("00080023", "DA", "1"),
    "StudyTime": ("00080030", "TM", "1"),
    "SeriesTime": ("00080031", "TM", "1"),
    "ContentTime": ("00080033", "TM", "1"),
    "AccessionNumber": ("00080050", "SH", "1"),
    "IssuerOfAccessionNumberSequence": ("00080051", "SQ", "1"),
    "Modality": ("00080060", "CS", "1"),
    "Manufacturer": ("00080070", "LO", "1"),
    "ReferringPhysicianName": ("00080090", "PN", "1"),
    "CodeValue": ("00080100", "SH", "1"),
    "CodingSchemeDesignator": ("00080102", "SH", "1"),
    "CodeMeaning": ("00080104", "LO", "1"),
    "MappingResource": ("00080105", "CS", "1"),
    "CodingSchemeUID": ("0008010C", "UI", "1"),
    "LongCodeValue": ("00080119", "UC", "1"),
    "URNCodeValue": ("00080120", "UR", "1"),
    "TimezoneOffsetFromUTC": ("00080201", "SH", "1"),
    "StationName": ("00081010", "SH", "1"),
    "StudyDescription": ("00081030", "LO", "1"),
    "ProcedureCodeSequence": ("00081032", "SQ", "1"),
    "SeriesDescription": ("0008103E", "LO", "1"),
    "PerformingPhysicianName": ("00081050", "PN", "1-n"),
    "ManufacturerModelName": ("00081090", "LO", "1"),
    "AnatomicRegionSequence": ("00082218", "SQ", "1"),
    "PatientName": ("00100010", "PN", "1"),
    "PatientID": ("00100020", "LO", "1"),
    "IssuerOfPatientID": ("00100021", "LO", "1"),
    "TypeOfPatientID": ("00100022", "CS", "1"),
    "IssuerOfPatientIDQualifiersSequence": ("00100024", "SQ", "1"),
    "PatientBirthDate": ("00100030", "DA", "1"),
    "PatientSex": ("00100040", "CS", "1"),
    "OtherPatientIDsSequence": ("00101002", "SQ", "1"),
    "BodyPartExamined": ("00180015", "CS", "1"),
    "StudyInstanceUID": ("0020000D", "UI", "1"),
    "SeriesInstanceUID": ("0020000E", "UI", "1"),
    "SeriesNumber": ("00200011", "IS", "1"),
    "InstanceNumber": ("00200013", "IS", "1"),
    "Laterality": ("00200060", "CS", "1"),
    "LocalNamespaceEntityID": ("00400031", "UT", "1"),
    "UniversalEntityID": ("00400032", "UT", "1"),
    "UniversalEntityIDType": ("00400033", "CS", "1"),
    "RequestAttributesSequence": ("00400275", "SQ", "1"),
    "MeasurementUnitsCodeSequence": ("004008EA", "SQ", "1"),
    "ReasonForRequestedProcedureCodeSequence": ("0040100A", "SQ", "1"),
    "RelationshipType": ("0040A010", "CS", "1"),
    "ValueType": ("0040A040", "CS", "1"),
    "ConceptNameCodeSequence": ("0040A043", "SQ", "1"),
    "DateTime": ("0040A120", "DT", "1"),
    "UID": ("0040A124", "UI", "1"),
    "TextValue": ("0040A160", "UT", "1"),
    "ConceptCodeSequence": ("0040A168", "SQ", "1"),
    "MeasuredValueSequence": ("0040A300", "SQ", "1"),
    "NumericValue": ("0040A30A", "DS", "1-n"),
    "CompletionFlag": ("0040A491", "CS", "1"),
    "VerificationFlag": ("0040A493", "CS", "1"),
    "ContentTemplateSequence": ("0040A504", "SQ", "1"),
    "ContentSequence": ("0040A730", "SQ", "1"),
    "TemplateIdentifier": ("0040DB00", "CS", "1"),
}
"""Tag, VR and VM by keyword."""

MAX_LENGTHS: Mapping[str, int] = {
    "AE": 16,
    "CS": 16,
    "DS": 16,
    "IS": 12,
    "LO": 64,
    "LT": 10240,
    "SH": 16,
    "ST": 1024,
    "UI": 64,
}
"""Characters of a value, by VR."""

PATTERNS: Mapping[str, str] = {
    "AS": r"^\d\d\d[DWMY]$",
    "CS": r"^[A-Z0-9 _]*$",
    "DS": r"^ *[+\-]?(\d+|\d+\.\d*|\.\d+)([eE][+\-]?\d+)? *$",
    "IS": r"^ *[+\-]?\d+ *$",
    "UI": r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*$",
}
"""What a value matches, by VR."""
