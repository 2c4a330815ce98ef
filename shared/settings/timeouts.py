"""How long an answer of the outside systems is waited for, and how large it may be, by what it is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`http`, `storage`: seconds to connect, and to wait for an answer. `most_bytes…` are those of one answer.

    `retries` are the storage SDKs' own. They are few, because another tick comes soon.
    """

    http: tuple[float, float]
    storage: tuple[float, float]
    retries: int
    most_bytes_of_dicom: int = 2**24
    most_bytes_of_fhir: int = 2**24


TICK = Timeouts((5, 100), (5, 20), retries=2, most_bytes_of_dicom=2**27, most_bytes_of_fhir=2**26)
"""The ImagingStudy of a study with 40,000 instances has 10 MB."""
STATUS = Timeouts((1, 1.5), (1, 1.5), retries=0)
STUDY_PAGE = Timeouts((3, 15), (1, 3), retries=0)
CHECK = Timeouts((5, 15), (5, 15), retries=0)
