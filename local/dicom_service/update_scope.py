"""What a bulk update applies to, and which UIDs it may change there.

It follows the text and the table by levels of Azure's page "Update DICOM files"; what these leave open is refused.
"""

from typing import Any

from local.dicom_service.change_dataset import SERIES_UID, SOP_INSTANCE_UID, STUDY_UID, UIDS
from local.dicom_service.instance import is_uid
from local.dicom_service.metadata import Attribute
from local.dicom_service.parameters import bad_request
from local.dicom_service.store import ResourcePath

MAX_STUDIES = 50

_ALLOWED: dict[str, tuple[set[str], ...]] = {
    "study": ({STUDY_UID}, {SERIES_UID}, {STUDY_UID, SERIES_UID}),
    "series": ({SERIES_UID}, {STUDY_UID, SERIES_UID}),
    "instance": ({SOP_INSTANCE_UID}, {STUDY_UID, SERIES_UID, SOP_INSTANCE_UID}),
}
"""The sets of UIDs that can be changed in one update, by the level that it applies to."""


def read_scope(specification: dict[str, Any], partition: str) -> list[ResourcePath]:
    """What the update applies to: up to 50 studies, or one series, or one instance.

    `specification`: the body of the request. Raises HTTPException 400, with what is wrong.
    """
    studies = specification.get("studyInstanceUids")
    if not isinstance(studies, list) or not 1 <= len(studies) <= MAX_STUDIES:
        raise bad_request(f"studyInstanceUids must be an array of 1 to {MAX_STUDIES} UIDs")
    for position, study in enumerate(studies):
        if not (isinstance(study, str) and is_uid(study)):
            raise bad_request(f"studyInstanceUids[{position}] is not a UID")
    series, instance = (specification.get(name) for name in ("seriesInstanceUid", "sopInstanceUid"))
    for name, uid in (("seriesInstanceUid", series), ("sopInstanceUid", instance)):
        if uid is not None and not (isinstance(uid, str) and is_uid(uid)):
            raise bad_request(f"{name} is not a UID")
    if instance is not None and series is None:
        raise bad_request("sopInstanceUid needs seriesInstanceUid")
    if series is not None and len(studies) > 1:
        raise bad_request("seriesInstanceUid needs studyInstanceUids of one study")
    return [ResourcePath(study, series, instance, partition) for study in studies]


def check_uids(paths: list[ResourcePath], changes: dict[str, Attribute]) -> None:
    """Raises HTTPException 400 if the changes have UIDs that cannot be changed in what the paths name."""
    uids = changes.keys() & UIDS.keys()
    if not uids:
        return
    if len(paths) > 1:
        raise bad_request("UIDs can be changed in one study at a time")
    (path,) = paths
    if SOP_INSTANCE_UID in uids and path.instance is None:
        raise bad_request("(0008,0018) needs seriesInstanceUid and sopInstanceUid")
    level = "instance" if path.instance else "series" if path.series else "study"
    if uids not in _ALLOWED[level]:
        together = " or ".join(
            " with ".join(f"({tag[:4]},{tag[4:]})" for tag in sorted(one)) for one in _ALLOWED[level]
        )
        raise bad_request(f"the UIDs that can be changed of one {level} are {together}")
