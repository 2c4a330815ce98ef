"""What it costs to link studies to their orders: FHIR calls with `DicomCast__OrderLink` as by default, and `off`.

A hospital's mix of studies, each with an accession number; the FHIR server has the Patient of each, and for nine of ten a
ServiceRequest. Calls are counted, so that other work on the machine does not matter.
`python -m tests.bench.orders [studies]` measures it alone.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import requests

from tests.bench.bars import Bar
from tests.bench.measure import Setup
from tests.bench.plan import BATCH_BY_BATCH, CATCHING_UP
from tests.bench.rig import Rig, rig
from tests.bench.workloads import Study, hospital_day, interleaved, one_after_another

Json = dict[str, Any]
Order = Callable[[Sequence[Study]], Iterator[Study]]
STUDIES = 200
SECONDS = 120
SETTINGS = {"DicomCast__TickTimeBudget": f"00:{SECONDS // 60:02d}:00", "DicomCast__OrderLookBack": "0"}
"""The look at orders that came late is one search an hour, whatever the number of studies: it is left out."""
MOST = 0.05
"""Calls more per study: one per 20."""
OFF = {"DicomCast__OrderLink": "off"}
ARRIVALS: Mapping[str, tuple[Order, Mapping[str, str]]] = {
    "a backlog, in one batch": (interleaved, CATCHING_UP),
    "batches of 100 entries": (interleaved, {**BATCH_BY_BATCH, "DicomCast__BatchSize": "100"}),
    "batches of 100 entries, one study after another": (
        one_after_another,
        {**BATCH_BY_BATCH, "DicomCast__BatchSize": "100"},
    ),
}
"""How the studies come, and the settings that cut the feed so."""
SUBJECTS = ("reference", "identifier")
"""How an order names its patient: by the Patient's id, or by what the Patient is known by."""


@dataclass(frozen=True, slots=True)
class OrderCost:
    """FHIR calls of one work without and with orders."""

    arrival: str
    subject: str
    studies: int
    entries: int
    calls_off: int
    calls: int

    @property
    def more(self) -> float:
        """Calls per study that the orders cost."""
        return (self.calls - self.calls_off) / self.studies


def measured(parts: Rig, studies: int = STUDIES, repeats: int = 2) -> Iterator[OrderCost]:
    """Each way of arriving, with orders that name their patient in each way.

    The least of `repeats`: which studies share a transaction depends on when the lanes come to them.
    """
    for arrival, (order, settings) in ARRIVALS.items():
        work = replace(hospital_day(studies), name=f"orders-{order.__name__}", order=order)
        with parts.dicom(work) as dicom, parts.fhir("memory") as fhir:
            with parts.worker("app", dicom, fhir, {**SETTINGS, **settings, **OFF}) as app:
                off, linked = _least(Setup(dicom, fhir, app, None), SUBJECTS[0], repeats)
            assert not linked, "no order is to be linked where that is off"
            with parts.worker("app", dicom, fhir, {**SETTINGS, **settings}) as app:
                setup = Setup(dicom, fhir, app, None)
                for subject in SUBJECTS:
                    on, linked = _least(setup, subject, repeats)
                    ordered = sum(map(_is_ordered, work.studies))
                    assert linked == ordered, f"{linked} of {ordered} studies are linked to their orders"
                    yield OrderCost(arrival, subject, len(work.studies), work.entries, off, on)


def bars(costs: Sequence[OrderCost]) -> Iterator[Bar]:
    """Of the dearest way."""
    worst = max(costs, key=lambda cost: cost.more)
    yield Bar("orders: FHIR calls more per study", MOST, worst.more, "calls", is_most=True)


def lines(costs: Sequence[OrderCost]) -> Iterator[str]:
    """As Markdown."""
    yield "| studies arrive in | orders name the patient by | studies | entries | calls, `off` | calls | more per study |"
    yield "| :--- | :--- | ---: | ---: | ---: | ---: | ---: |"
    for one in costs:
        yield (
            f"| {one.arrival} | {one.subject} | {one.studies} | {one.entries:,} | {one.calls_off:,} | {one.calls:,} "
            f"| {one.more:.3f} |"
        )


def _least(on: Setup, subject: str, repeats: int) -> tuple[int, int]:
    return min(_calls(on, subject) for _ in range(repeats))


def _calls(on: Setup, subject: str) -> tuple[int, int]:
    """FHIR calls until all is synced, and how many studies are linked."""
    on.begin()
    for study in on.work.studies:
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(_entries(study, subject))}
        requests.post(on.fhir.url, json=bundle, timeout=60).raise_for_status()
    steps = on.app.ask("drain", SECONDS, False)["steps"]
    assert steps[-1]["lag"] == 0, "not all was synced in time"
    held = requests.get(f"{on.fhir.url}/ImagingStudy", timeout=60).json()["entry"]
    linked = sum("basedOn" in one["resource"] for one in held)
    return sum(step["fhir"]["calls"] for step in steps), linked


def _is_ordered(study: Study) -> bool:
    return study.number % 10 != 0


def _entries(study: Study, subject: str) -> Iterator[Json]:
    """The study's Patient, who may be there already, and its order."""
    value = f"BENCH-{study.patient}"
    patient = {"resourceType": "Patient", "identifier": [{"value": value}]}
    name = f"urn:uuid:{value}"
    yield _create(patient, name, ifNoneExist=f"identifier={value}")
    if _is_ordered(study):
        kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
        yield _create(
            {
                "resourceType": "ServiceRequest",
                "identifier": [{"type": kind, "value": f"A{study.number}"}],
                "status": "active",
                "intent": "order",
                "subject": {"reference": name} if subject == "reference" else {"identifier": {"value": value}},
                "encounter": {"reference": f"Encounter/{study.number}"},
            },
            f"urn:uuid:A{study.number}",
        )


def _create(resource: Json, name: str, **request: str) -> Json:
    url = resource["resourceType"]
    return {"fullUrl": name, "resource": resource, "request": {"method": "POST", "url": url, **request}}


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    with rig() as parts:
        costs = list(measured(parts, studies))
    for line in (*lines(costs), "", *map(str, bars(costs))):
        print(line)
    sys.exit(any(bar.fails for bar in bars(costs)))


if __name__ == "__main__":
    main()
