"""A study as a search of the DICOM service lists it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """A study as a search of the DICOM service lists it. `study_date` is a DA, empty if there is none.

    `instances` and `modalities` are computed by the service if they are asked for; else they are None and empty.
    """

    study_instance_uid: str
    study_date: str
    description: str
    patient_id: str = ""
    instances: int | None = None
    modalities: frozenset[str] = frozenset()
