"""Patients that a registry has merged into others: the surviving Patient is the one to use."""

import re
from collections.abc import Callable, Sequence

from shared.errors import ReplacedPatientError
from shared.mapping.held import readable
from shared.mapping.patients import replaced_by
from shared.mapping.transaction import reference_of
from shared.model.fhir import Resource

MOST_HOPS = 10
"""The longest chain of merges that is followed: no registry is known to make one as long."""
_PATIENT = re.compile(r"Patient/[^/]+")


def survivors(patients: Sequence[Resource], read: Callable[[str], Resource | None]) -> list[Resource]:
    """The Patients that replace these, or these themselves, each once, in the same order.

    `read` gives a Patient by its reference, None if there is none. Raises ReplacedPatientError if `replaced-by` leads
    to no Patient, to several, or in a circle.
    """
    if not any(map(replaced_by, patients)):
        return list(patients)
    there = {reference_of(one): one for one in patients}
    found = [_survivor(one, lambda reference: there.get(reference) or read(reference)) for one in patients]
    return list({reference_of(one): one for one in found}.values())


def _survivor(patient: Resource, read: Callable[[str], Resource | None]) -> Resource:
    chain = [reference_of(patient)]
    while targets := replaced_by(patient):
        if len(targets) > 1:
            raise _error(chain, f"several ({', '.join(filter(_PATIENT.fullmatch, targets))})")
        (target,) = targets
        if not _PATIENT.fullmatch(target):
            raise _error(chain, "what is no Patient of this server")
        if target in chain:
            raise _error(chain, f"{target}: a circle")
        if len(chain) > MOST_HOPS:
            raise _error(chain, f"{target}, and so on: more than {MOST_HOPS} merges")
        held = read(target)
        if held is None:
            raise _error(chain, f"{target}, which is not there")
        patient = readable(held)
        chain.append(target)
    return patient


def _error(chain: Sequence[str], what: str) -> ReplacedPatientError:
    merges = ", replaced by ".join(chain)
    return ReplacedPatientError(f"{merges}, replaced by {what}: correct Patient.link, then replay the study")
