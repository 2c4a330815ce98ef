"""The store transaction (PS3.18 10.5), without HTTP."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from local.dicom_service import store as instance_store
from local.dicom_service.database import Database
from local.dicom_service.instance import FailureReason, Instance, Refusal, read_instance


@dataclass(frozen=True, slots=True)
class Outcome:
    """The instances of one request that were stored, and those that were refused."""

    stored: list[Instance]
    refused: list[Refusal]

    @property
    def status(self) -> int:
        """The HTTP status: 200 if all were stored, 202 if some were, 409 if none was."""
        if not self.stored:
            return 409
        return 202 if self.refused else 200

    def reasons(self) -> dict[int, int]:
        """How many files were refused, by FailureReason."""
        return dict(Counter(int(refusal.reason) for refusal in self.refused))

    def dicom_json(self, studies_url: str) -> dict[str, Any]:
        """The Store Instances Response Module (PS3.18 table I.2.1-1).

        It has the study's RetrieveURL if all instances are of one study.
        """
        response: dict[str, Any] = {}
        studies = {instance.study_instance_uid for instance in self.stored}
        if len(studies) == 1:
            response["00081190"] = _attribute("UR", f"{studies_url}/{studies.pop()}")
        if self.refused:
            response["00081198"] = _attribute("SQ", *map(_failed_sop, self.refused))
        if self.stored:
            response["00081199"] = _attribute("SQ", *(_referenced_sop(item, studies_url) for item in self.stored))
        return response


def store(database: Database, partition: str, files: list[bytes], study: str | None) -> Outcome:
    """Stores all files that can be stored, in one transaction. `study`: the only study to take; None takes any."""
    instances: list[Instance] = []
    refused: list[Refusal] = []
    for file in files:
        match read_instance(file, study):
            case Instance() as instance:
                instances.append(instance)
            case Refusal() as refusal:
                refused.append(refusal)
    is_stored = instance_store.add(database, partition, instances)
    stored = [instance for instance, was_stored in zip(instances, is_stored, strict=True) if was_stored]
    existing = [
        already_exists(instance) for instance, was_stored in zip(instances, is_stored, strict=True) if not was_stored
    ]
    return Outcome(stored, refused + existing)


def store_reserved(database: Database, sequence: int, file: bytes) -> Outcome:
    """Stores one file with a reserved sequence number. Raises LookupError if the number is not reserved."""
    match read_instance(file, study=None):
        case Instance() as instance:
            if instance_store.add_reserved(database, sequence, instance):
                return Outcome([instance], [])
            return Outcome([], [already_exists(instance)])
        case Refusal() as refusal:
            return Outcome([], [refusal])


def already_exists(instance: Instance) -> Refusal:
    """The refusal of an instance that is stored already."""
    return Refusal(FailureReason.ALREADY_EXISTS, instance.sop_class_uid, instance.sop_instance_uid)


def _referenced_sop(instance: Instance, studies_url: str) -> dict[str, Any]:
    series_url = f"{studies_url}/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
    return {
        "00081150": _attribute("UI", instance.sop_class_uid),
        "00081155": _attribute("UI", instance.sop_instance_uid),
        "00081190": _attribute("UR", f"{series_url}/instances/{instance.sop_instance_uid}"),
    }


def _failed_sop(refusal: Refusal) -> dict[str, Any]:
    uids = {"00081150": refusal.sop_class_uid, "00081155": refusal.sop_instance_uid}
    known = {tag: _attribute("UI", uid) for tag, uid in uids.items() if uid is not None}
    return known | {"00081197": _attribute("US", int(refusal.reason))}


def _attribute(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}
