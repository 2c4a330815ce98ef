"""The attributes that a bulk update may change, and the checks of their new values.

The attributes are those that Azure documents ("Update DICOM files"): those of the Patient Identification, Patient
Demographic and General Study modules that are not sequences, and the UIDs of study, series and instance.
"""

from types import UnionType
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

from local.dicom_service.metadata import PYDICOM_FAULTS, Attribute, dicom_json

_PATIENT_IDENTIFICATION = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "MedicalRecordLocator",
)
_PATIENT_DEMOGRAPHIC = (
    "PatientAge",
    "Occupation",
    "ConfidentialityConstraintOnPatientDataDescription",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "QualityControlSubject",
    "PatientSize",
    "PatientWeight",
    "PatientAddress",
    "MilitaryRank",
    "BranchOfService",
    "CountryOfResidence",
    "RegionOfResidence",
    "PatientTelephoneNumbers",
    "EthnicGroup",
    "PatientReligiousPreference",
    "PatientComments",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientSpeciesDescription",
    "PatientBreedDescription",
    "BreedRegistrationNumber",
)
_GENERAL_STUDY = ("ReferringPhysicianName", "AccessionNumber", "StudyDescription")

STUDY_UID, SERIES_UID, SOP_INSTANCE_UID = "0020000D", "0020000E", "00080018"
UIDS = {
    STUDY_UID: "study_instance_uid",
    SERIES_UID: "series_instance_uid",
    SOP_INSTANCE_UID: "sop_instance_uid",
}
"""By tag, the key column of the table `instance` that has the UID."""

CHANGEABLE = UIDS.keys() | {
    f"{Tag(keyword):08X}" for keyword in (*_PATIENT_IDENTIFICATION, *_PATIENT_DEMOGRAPHIC, *_GENERAL_STUDY)
}
"""Tags that a bulk update may change, as the DICOM JSON model writes them: `00100020`."""

_JSON_TYPES: dict[str, type | UnionType] = {"PN": dict, "DS": int | float | str}
"""JSON types of a value by VR (PS3.18 table F.2.3-1); those of all other VRs are strings."""


class RefusedChangesError(Exception):
    """Some changes are not allowed. `faults`: a line for each of these attributes, with its tag but not its value."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_changes(change_dataset: dict[str, Any]) -> dict[str, Attribute]:
    """The new attributes by tag, as DICOM JSON. `change_dataset`: of the request. Raises RefusedChangesError."""
    dataset, faults = Dataset(), []
    for key, attribute in change_dataset.items():
        tag = key.upper()
        if tag not in CHANGEABLE:
            faults.append(f"{_shown(tag)} - a bulk update cannot change this attribute")
            continue
        try:
            dataset.add(_element(tag, attribute))
        except ValueError as error:
            faults.append(f"{_shown(tag)} - {error}")
    if faults:
        raise RefusedChangesError(faults)
    return dicom_json(dataset)


def _element(tag: str, attribute: Any) -> DataElement:
    """The new value. Raises ValueError if it is invalid or empty: Azure's service does not update a value to null."""
    vr = dictionary_VR(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    if not isinstance(values, list) or attribute.get("vr") != vr:
        raise ValueError(f'not {{"vr": "{vr}", "Value": [...]}}')
    if not all(isinstance(value, _JSON_TYPES.get(vr, str)) for value in values):
        raise ValueError(f"not a valid {vr}")
    try:
        element = DataElement.from_json(Dataset, tag, vr, values, "Value")
        texts = [str(value) for value in (element.value if element.VM > 1 else [element.value])]
        for text in texts:
            validate_value(vr, text, config.RAISE)
    except PYDICOM_FAULTS as error:  # whose message may quote the value
        raise ValueError(f"not a valid {vr}") from error
    if element.VM == 0 or not all(texts):
        raise ValueError("a value cannot be emptied")
    if element.VM > 1 and dictionary_VM(tag) == "1":
        raise ValueError("more than one value")
    return element


def _shown(tag: str) -> str:
    is_tag = len(tag) == len("GGGGEEEE") and not set(tag) - set("0123456789ABCDEF")
    return f"({tag[:4]},{tag[4:]})" if is_tag else "(a key that is no tag)"
