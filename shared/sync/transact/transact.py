"""Sends transactions, and remembers what they wrote. Raises ConflictError if somebody else wrote first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.errors import ConflictError, DeleteRefusedError, FhirRefusedError, UnversionedResourceError
from shared.mapping.held import instances_of, version_of
from shared.mapping.transaction import (
    Create,
    Delete,
    Write,
    marking,
    name_of,
    reference_of,
    transaction_bundle,
    written,
)
from shared.model.fhir import Written
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.ports import FhirServer, Lease

MAX_LISTED = 2_000
"""Instances that several studies of one transaction may list together: some 500 KB."""
_CACHED = ("ImagingStudy", "Endpoint")
"""Patients are searched for in each batch: others write them too, and a link to a deleted Patient would be wrong."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a transaction is: its entries, the instances that its studies list, and whether it has a create."""

    writes: int = 0
    listed: int = 0
    conditional: bool = False

    @classmethod
    def of(cls, writes: Sequence[Write]) -> "Size":
        """The size of a transaction with these writes."""
        return cls(
            len(writes),
            sum(instances_of(one.resource) for one in writes),
            any(isinstance(write, Create) for write in writes),
        )

    def __add__(self, more: "Size") -> "Size":
        return Size(self.writes + more.writes, self.listed + more.listed, self.conditional or more.conditional)

    def is_fit(self, fhir: FhirServer) -> bool:
        """Whether the server takes a transaction of this size that holds several studies."""
        return self.writes <= fhir.most_entries(conditional=self.conditional) and self.listed <= MAX_LISTED


def transact(fhir: FhirServer, lease: Lease, cache: ResourceCache, writes: Sequence[Write]) -> None:
    """Writes all or nothing; what is to be deleted is marked first, and deleted by a second transaction.

    Raises ConflictError if somebody else wrote first, DeleteRefusedError if all but a delete is done,
    FhirRefusedError, UnversionedResourceError, TransientError.
    """
    # Checked after FHIR was read, not before: If-Match and ifNoneExist reveal what another host writes from here on.
    lease.ensure_held()
    for write in writes:
        if not isinstance(write, Create) and "versionId" not in write.resource.get("meta", {}):
            raise UnversionedResourceError(
                f"neither `meta.versionId` nor an ETag tells the version of {name_of(write)}:"
                " without it nobody's writes are safe"
            )
    first = marking(writes)
    with cache.recent_writes.creating([write.name for write in first if isinstance(write, Create)]) as waited:
        if waited:
            raise ConflictError("another lane has made a resource of this study meanwhile")
        answers = fhir.transact(transaction_bundle(first)) if first else []
        _remember(cache, first, answers)
    for write, answer in zip(first, answers, strict=True):
        if isinstance(write, Create) and not answer.created:  # it existed, and ours was not written
            raise ConflictError(f"a {write.resource['resourceType']} was created by somebody else meanwhile")
    if deletes := [write for write in writes if isinstance(write, Delete)]:
        lease.ensure_held()
        versions = {name_of(write): answer.version for write, answer in zip(first, answers, strict=True)}
        _delete(fhir, cache, [_of_version(fhir, one, versions) for one in deletes])


def _remember(cache: ResourceCache, writes: Sequence[Write], answers: Sequence[Written]) -> None:
    for write, answer, resource in zip(writes, answers, written(writes, answers), strict=True):
        is_as_sent = not isinstance(write, Create) or answer.created
        if write.query and write.resource["resourceType"] in _CACHED:
            cache.put(write.query, resource if is_as_sent else None)
        reference = answer.reference if isinstance(write, Create) else name_of(write)
        if write.query and reference:
            cache.recent_writes.note(write.query, reference, answer.version if is_as_sent else None)


def _of_version(fhir: FhirServer, delete: Delete, versions: dict[str, str | None]) -> Delete:
    """The delete, of the version that marking the resource has made."""
    if name_of(delete) not in versions:
        return delete  # it was marked before, and read in that version
    version = versions[name_of(delete)]
    if version is None:
        held = fhir.read(name_of(delete))
        if held is not None and {**held, "meta": {}} != {**delete.marked, "meta": {}}:
            # It may be the server that changed it; the next attempt reads a marked resource with its version.
            raise ConflictError(f"a {held['resourceType']} was written by somebody else meanwhile")
        version = version_of(held or {}) or ""
    return replace(delete, resource={**delete.marked, "meta": {**delete.marked["meta"], "versionId": version}})


def _delete(fhir: FhirServer, cache: ResourceCache, deletes: Sequence[Delete]) -> None:
    """Deletes all in one transaction; if that is refused, one by one, so that as many as possible are deleted."""
    try:
        fhir.transact(transaction_bundle(deletes))
    except (ConflictError, FhirRefusedError) as error:
        if len(deletes) == 1:
            _check_refused(fhir, deletes[0], error)
        else:
            _delete_each(fhir, cache, deletes)
            return
    for one in deletes:
        cache.put(one.query, None)
        cache.recent_writes.deleted(one.query, reference_of(one.resource))


def _delete_each(fhir: FhirServer, cache: ResourceCache, deletes: Sequence[Delete]) -> None:
    refused: list[DeleteRefusedError] = []
    for one in reversed(deletes):  # a resource before what it links to
        try:
            _delete(fhir, cache, [one])
        except DeleteRefusedError as error:
            refused.append(error)
    if refused:
        raise DeleteRefusedError("; ".join(map(str, refused)))


def _check_refused(fhir: FhirServer, delete: Delete, error: ConflictError | FhirRefusedError) -> None:
    """Returns if the resource is deleted all the same; else raises ConflictError or DeleteRefusedError.

    409 means that somebody wrote first, or that other resources link to it: only reading it again tells which
    (http.html#delete).
    """
    held = fhir.read(reference_of(delete.resource))
    if held is None:
        return
    if version_of(held) != delete.resource["meta"]["versionId"]:
        raise ConflictError(f"a {held['resourceType']} was written by somebody else meanwhile") from error
    reason, status = str(error).removeprefix("FHIR server: "), delete.marked.get("status")
    raise DeleteRefusedError(
        f"{reference_of(delete.resource)} is not deleted, but marked as {status} and emptied, as the server"
        f" refuses: {reason}; delete what links to it, then replay the study"
    ) from error


def combined(writes_by_study: Iterable[Sequence[Write]]) -> list[Write] | None:
    """The writes of several studies as one transaction; a Patient or Endpoint that they share is written once.

    None if two studies want to write the same resource differently.
    """
    writes: dict[str, Write] = {}
    for write in (one for of_study in writes_by_study for one in of_study):
        if writes.setdefault(name_of(write), write) != write:
            return None
    return list(writes.values())
