"""Writes the app's sign to resources that have none."""

from collections.abc import Sequence
from contextlib import suppress

from shared.clients.fhir.client import FhirClient
from shared.errors import CheckError, ConflictError, FhirRefusedError, TransientError
from shared.mapping.sign import bears_no_sign, is_ours, signed
from shared.mapping.transaction import Update, reference_of, transaction_bundle
from shared.model.fhir import Resource

BATCH = 20
"""How many resources are read in one search, and written in one transaction."""
ATTEMPTS = 5
"""How often a resource is tried that others write at the same time."""


class Marking:
    """Writes the sign of the DICOM service at `service_url`.

    A resource that somebody else has written meanwhile is read again, so that nothing of theirs is lost; one that has
    a sign by now stays as it is. `written`: how many were marked. `left`: `Type/id: reason` of those that were not.
    """

    def __init__(self, fhir: FhirClient, service_url: str) -> None:
        self._fhir = fhir
        self._service_url = service_url
        self.written = 0
        self.left: list[str] = []

    def mark(self, kind: str, references: Sequence[str]) -> None:
        """Marks resources. `kind`: their type; `references`: `Type/id`.

        Raises OutageError, and CheckError if the server does not keep the sign.
        """
        for first in range(0, len(references), BATCH):
            part = references[first : first + BATCH]
            self._mark_batch(kind, part)
            print(f"{kind}: {first + len(part)} of {len(references)} done", flush=True)

    def _mark_batch(self, kind: str, references: Sequence[str]) -> None:
        """Marks resources in one transaction; one by one if that fails, or if some are gone, marked or unversioned."""
        ids = ",".join(reference.split("/")[1] for reference in references)
        held = [one for one in self._fhir.search(kind, f"_id={ids}") if bears_no_sign(one)]
        if len(held) == len(references) and all(map(_has_version, held)):
            with suppress(ConflictError, FhirRefusedError, TransientError):
                self._write(held)
                return
        for reference in references:
            self._mark_one(reference)

    def _mark_one(self, reference: str) -> None:
        """Marks one resource; it is read again, ATTEMPTS times at most, if others write it at the same time."""
        why = f"others wrote it {ATTEMPTS} times meanwhile"
        for _ in range(ATTEMPTS):
            held = self._fhir.read(reference)
            if held is None or not bears_no_sign(held):
                return
            if not _has_version(held):
                why = "the server tells no version of it: it could not be written without harm to what others write"
                break
            try:
                self._write([held])
            except ConflictError:
                continue
            except (FhirRefusedError, TransientError) as error:
                why = str(error)
                break
            return
        self.left.append(f"{reference}: {why}")

    def _write(self, held: Sequence[Resource]) -> None:
        """Signs resources in one transaction. After the first, one is read again, to see whether the sign was kept."""
        self._fhir.transact(transaction_bundle([Update(signed(one, self._service_url)) for one in held]))
        if self.written == 0:
            now = self._fhir.read(reference_of(held[0]))
            if now is not None and not is_ours(now, self._service_url):
                raise CheckError(f"the FHIR server took a tag on {reference_of(held[0])}, and does not keep it")
        self.written += len(held)


def _has_version(resource: Resource) -> bool:
    return "versionId" in resource.get("meta", {})
