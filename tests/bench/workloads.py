"""The work that is measured: what arrives in the DICOM service, instance by instance, and what is deleted again.

Each instance carries the whole metadata of a real file inside pydicom, with UIDs, PatientID, numbers and Modality of its
own; so the feed's JSON is as long as a hospital's. The instances go into the database of the local DICOM service by
that service's own code, without the detour over pixel data and STOW-RS; the app reads them over HTTP.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pydicom

from local.dicom_service import store
from local.dicom_service.database import Database
from local.dicom_service.instance import Instance, read_instance

ROOT_UID = "1.2.826.0.1.3680043.8.498.5"
SERIES_LENGTH = 250
_FILES = {
    "CT": "CT_small.dcm",
    "MR": "MR_small.dcm",
    "CR": "6154",
    "US": "examples_rgb_color.dcm",
    "NM": "JPEG2000.dcm",
}
_STANDS_IN = {"RF": "CR"}
"""pydicom has no fluoroscopy."""

EXAMINATIONS = {"CR": 23.1, "US": 10.0, "CT": 5.2, "MR": 2.7, "RF": 1.3, "NM": 0.6}
"""Millions in England from April 2013 to March 2014, by modality: NHS England, Annual Imaging and Radiodiagnostics
Statistics 2013-14. https://www.england.nhs.uk/statistics/2014/08/06/annual-imaging-and-radiodiagnostics-statistics-2013-14/
"""
INSTANCES = {"CR": (1, 3), "US": (8, 40), "CT": (80, 700), "MR": (120, 450), "RF": (4, 20), "NM": (2, 8)}
"""From and to, per examination: an assumption; evenly spread. No register publishes them."""


@dataclass(frozen=True, slots=True)
class Study:
    """One study, its series `series_length` instances long; the last may be shorter."""

    number: int
    modality: str
    instances: int
    patient: int
    series_length: int = SERIES_LENGTH

    @property
    def uid(self) -> str:
        return f"{ROOT_UID}.{self.number}"

    def series_uid(self, series: int) -> str:
        return f"{self.uid}.{series}"

    @property
    def series_count(self) -> int:
        return -(-self.instances // self.series_length)


@dataclass(frozen=True, slots=True)
class Work:
    """`order` says which study the next instance that arrives belongs to."""

    name: str
    title: str
    studies: Sequence[Study]
    order: Callable[[Sequence[Study]], Iterator[Study]]

    @property
    def entries(self) -> int:
        return sum(study.instances for study in self.studies)


def ct_studies(studies: int, instances: int) -> Work:
    made = [Study(number, "CT", instances, number) for number in range(1, studies + 1)]
    return Work("ct", f"{_count(studies)} of {instances:,} CT instances", made, one_after_another)


def cr_studies(studies: int) -> Work:
    made = [Study(number, "CR", 1, number) for number in range(1, studies + 1)]
    return Work("cr", f"{_count(studies)} of 1 CR instance", made, one_after_another)


def large_study(instances: int, batches: int) -> Work:
    title = f"1 study of {instances:,} instances in {batches} {'batch' if batches == 1 else 'batches'}"
    return Work("large", title, [Study(1, "CT", instances, 1)], one_after_another)


def hospital_day(studies: int) -> Work:
    """Modalities send at the same time, so that the studies interleave; one patient in ten comes twice."""
    chance = random.Random(20131)
    weights = list(EXAMINATIONS.values())
    whole = sum(weights)
    modalities = [name for name, share in EXAMINATIONS.items() for _ in range(round(studies * share / whole))]
    chance.shuffle(modalities)
    made = [
        Study(number, modality, chance.randint(*INSTANCES[modality]), max(1, number - (number % 10 == 0)), 100)
        for number, modality in enumerate(modalities, 1)
    ]
    return Work("day", f"a hospital day of {len(made)} studies", made, interleaved)


def warm_up() -> Work:
    """One instance of each modality, of studies and patients that no other work has."""
    made = [Study(number, modality, 1, number) for number, modality in enumerate(EXAMINATIONS, 1_000_001)]
    return Work("warm", "warm-up", made, one_after_another)


def _count(studies: int) -> str:
    return "1 study" if studies == 1 else f"{studies:,} studies"


def one_after_another(studies: Sequence[Study]) -> Iterator[Study]:
    for study in studies:
        yield from [study] * study.instances


def interleaved(studies: Sequence[Study]) -> Iterator[Study]:
    """Five studies are under way at a time; each sends a few instances in turn."""
    chance = random.Random(5)
    waiting = [[study] * study.instances for study in reversed(studies)]
    sending = [waiting.pop() for _ in range(min(5, len(waiting)))]
    while sending:
        one = chance.choice(sending)
        for _ in range(min(len(one), chance.randint(1, 20))):
            yield one.pop()
        if not one:
            sending.remove(one)
            if waiting:
                sending.append(waiting.pop())


def fill(path: Path, work: Work) -> None:
    """Stores the work's instances in a new database of the local DICOM service, in its order."""
    database = Database(str(path))
    arriving = instances(work)
    while chunk := list(islice(arriving, 500)):
        store.add(database, store.DEFAULT_PARTITION, chunk)
    database.close()


def delete_half(path: Path, work: Work) -> int:
    """Deletes every other series, or of studies of one series every other study; how many instances that were."""
    database = Database(str(path))
    deleted = 0
    for study in work.studies:
        if study.series_count == 1:
            paths = [store.ResourcePath(study.uid)] if study.number % 2 else []
        else:
            paths = [store.ResourcePath(study.uid, study.series_uid(n)) for n in range(1, study.series_count, 2)]
        deleted += sum(store.delete(database, path) for path in paths)
    database.close()
    return deleted


def instances(work: Work) -> Iterator[Instance]:
    """In the order of their arrival."""
    templates = {modality: _template(modality) for modality in {study.modality for study in work.studies}}
    sent = dict.fromkeys((study.uid for study in work.studies), 0)
    for study in work.order(work.studies):
        number = sent[study.uid]
        sent[study.uid] += 1
        series = study.series_uid(number // study.series_length)
        values = {
            "@STUDY@": study.uid,
            "@SERIES@": series,
            "@INSTANCE@": f"{series}.{number}",
            "@PATIENT@": f"BENCH-{study.patient}",
            "@ACCESSION@": f"A{study.number}",
            '"@SERIESNUMBER@"': str(number // study.series_length + 1),
            '"@NUMBER@"': str(number + 1),
        }
        text, sop_class = templates[study.modality]
        for placeholder, value in values.items():
            text = text.replace(placeholder, value, 1)
        uids = (study.uid, series, f"{series}.{number}", sop_class)
        yield Instance(*uids, values["@PATIENT@"], study.modality, text)


def _template(modality: str) -> tuple[str, str]:
    """The metadata of a real file with placeholders, and its SOPClassUID."""
    name = _FILES[_STANDS_IN.get(modality, modality)]
    path = next(Path(pydicom.__file__).parent.rglob(name))
    read = read_instance(path.read_bytes(), None)
    assert isinstance(read, Instance)
    metadata = json.loads(read.metadata)
    metadata["0020000D"] = {"vr": "UI", "Value": ["@STUDY@"]}
    metadata["0020000E"] = {"vr": "UI", "Value": ["@SERIES@"]}
    metadata["00080018"] = {"vr": "UI", "Value": ["@INSTANCE@"]}
    metadata["00100020"] = {"vr": "LO", "Value": ["@PATIENT@"]}
    metadata["00080050"] = {"vr": "SH", "Value": ["@ACCESSION@"]}
    metadata["00080060"] = {"vr": "CS", "Value": [modality]}
    metadata["00200011"] = {"vr": "IS", "Value": ["@SERIESNUMBER@"]}
    metadata["00200013"] = {"vr": "IS", "Value": ["@NUMBER@"]}
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":")), read.sop_class_uid
