"""The few names and values that the model's archive is filled with, and the DICOM files made of them."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import NamedTuple

from pydicom import Dataset

from tests.dose_reports import code, ct, ct_event
from tests.integration.dicom_service_client import dicom_dataset, written

DEFAULT, OTHER = "Microsoft.Default", "B"
STUDIES = {"S1": "1.2.1", "S2": "1.2.2", "S3": "1.2.3"} | {f"F{n}": f"1.2.9{n:02}" for n in range(20)}
SERIES = {"a": "1.3.1", "b": "1.3.2", "r": "1.3.3", "q": "1.3.4"}
INSTANCES = {"i": "1.4.1", "j": "1.4.2", "k": "1.4.3", "dose": "1.4.9"}
MODALITY = {"a": "CT", "b": "MR", "r": "SR", "q": "SR"}
IMAGES, REPORTS = ("a", "b"), ("r", "q")


class Place(NamedTuple):
    """An instance by short names: `Place("S1", "a", "i")`; the data partition last."""

    study: str
    series: str
    instance: str
    partition: str = DEFAULT

    @property
    def uids(self):
        return STUDIES[self.study], SERIES[self.series], INSTANCES[self.instance]

    @property
    def path(self):
        within = "" if self.partition == DEFAULT else f"/partitions/{self.partition}"
        return "{}/studies/{}/series/{}/instances/{}".format(within, *self.uids)

    def __str__(self):
        return "/".join(self[:3]) + ("" if self.partition == DEFAULT else f"@{self.partition}")


@dataclass(frozen=True)
class Said:
    """Patient- and study-level tags, which repeat in every instance; None: the tag is absent."""

    patient: str = "P1"
    issuer: str | None = None
    name: str | None = None
    sex: str | None = None
    birth: str | None = None
    accession: str | None = None
    description: str | None = None
    date: str | None = None
    referrer: str | None = None
    procedure: str | None = None

    def __repr__(self):
        given = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if getattr(self, one.name))
        return f"Said({', '.join(given)})"


@dataclass(frozen=True)
class OfSeries:
    """Series-level tags, and the side that an image says of itself; of a dose report how many irradiation events it tells.

    `invalid`: no required Modality.
    """

    description: str | None = None
    performer: str | None = None
    body_part: str | None = None
    side: str | None = None
    image_side: str | None = None
    events: int = 1
    invalid: bool = False

    def __repr__(self):
        plain = OfSeries()
        differs = [one.name for one in fields(self) if getattr(self, one.name) != getattr(plain, one.name)]
        return f"OfSeries({', '.join(f'{name}={getattr(self, name)!r}' for name in differs)})"


KEYWORDS = {
    "patient": "PatientID",
    "issuer": "IssuerOfPatientID",
    "name": "PatientName",
    "sex": "PatientSex",
    "birth": "PatientBirthDate",
    "accession": "AccessionNumber",
    "description": "StudyDescription",
    "date": "StudyDate",
    "referrer": "ReferringPhysicianName",
}
UPDATED = ("patient", "issuer", "name", "sex", "birth", "accession", "description", "referrer")
"""What Azure's bulk update changes, but for UIDs."""
OF_PATIENT = ("patient", "issuer", "name", "sex", "birth")
VALUES: dict[str, list] = {
    "patient": ["P1", "P2"],
    "issuer": [None, "I1", "I2"],
    "name": [None, "Old^Ann", "New^Ann"],
    "sex": [None, "M", "F"],
    "birth": [None, "19700101", "19800202"],
    "accession": [None, "WRONG", "RIGHT"],
    "description": [None, "wrong", "right"],
    "date": [None, "20230101", "20240101"],
    "referrer": [None, "Wrong^Ref", "Right^Ref"],
    "procedure": [None, "77477000", "113091000"],
}


@lru_cache(maxsize=20_000)
def dicom_file(place, said, of_series):
    """The instance as a PS3.10 file, with the tags that are said."""
    study, series, instance = place.uids
    tags = {keyword: getattr(said, name) for name, keyword in KEYWORDS.items()}
    tags |= {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "SOPInstanceUID": instance,
        "Modality": "ct" if of_series.invalid else MODALITY[place.series],
        "SeriesDescription": of_series.description,
        "PerformingPhysicianName": of_series.performer,
        "BodyPartExamined": of_series.body_part,
        "Laterality": of_series.side,
        "ImageLaterality": of_series.image_side,
    }
    if place.instance == "dose":
        tags |= {"StudyTime": None, "ContentDate": "20240506", "ContentTime": "0722"}
        events = [ct_event(number) for number in range(of_series.events)]
        dataset = Dataset.from_json(ct(*events, **tags))
    else:
        dataset = dicom_dataset(**tags, InstanceNumber=list(INSTANCES).index(place.instance))
    if said.procedure:
        dataset.ProcedureCodeSequence = [code(f"SCT {said.procedure} procedure")]
    return written(dataset)


def changed(said, tags):
    """What is said after a bulk update of these tags."""
    return replace(said, **tags)
