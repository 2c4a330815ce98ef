"""Patients that a registry has merged into others: the one that is left of each is the one to use."""

import re
from collections.abc import Callable, Sequence

from shared.errors import ReplacedPatientError
from shared.mapping.held import readable
from shared.mapping.patients import replaced_by
from shared.mapping.transaction import reference_of
from shared.model.fhir import Resource

MOST_HOPS = 10
"""Merges one after the other: more than any registry has shown."""
_PATIENT = re.compile(r"Patient/[^/]+")


def survivors(patients: Sequence[Resource], read: Callable[[str], Resource | None]) -> list[Resource]:
    """Each that no other replaces, once, in their order. `read` gives a Patient by its reference, None: it is gone.

    Raises ReplacedPatientError where `replaced-by` leads nowhere, to several, or in a circle.
    """
    if not any(map(replaced_by, patients)):
        return list(patients)
    there = {reference_of(one): one for one in patients}
    found = [_survivor(one, lambda reference: there.get(reference) or read(reference)) for one in patients]
    return list({reference_of(one): one for one in found}.values())


def _survivor(patient: Resource, read: Callable[[str], Resource | None]) -> Resource:
    road = [reference_of(patient)]
    while targets := replaced_by(patient):
        if len(targets) > 1:
            raise _error(road, f"several ({', '.join(filter(_PATIENT.fullmatch, targets))})")
        (target,) = targets
        if not _PATIENT.fullmatch(target):
            raise _error(road, "what is no Patient of this server")
        if target in road:
            raise _error(road, f"{target}: a circle")
        if len(road) > MOST_HOPS:
            raise _error(road, f"{target}, and so on: more than {MOST_HOPS} merges")
        held = read(target)
        if held is None:
            raise _error(road, f"{target}, which is not there")
        patient = readable(held)
        road.append(target)
    return patient


def _error(road: Sequence[str], what: str) -> ReplacedPatientError:
    chain = ", replaced by ".join(road)
    return ReplacedPatientError(f"{chain}, replaced by {what}: correct Patient.link, then replay the study")
