"""Sends transactions: what was written is remembered, what somebody else wrote first is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.errors import ConflictError
from shared.mapping.transaction import Create, Write, transaction_bundle, written
from shared.model import Resource
from shared.sync.known import KnownResources
from shared.sync.ports import FhirServer, Lease

MAX_WRITES = 500
"""Entries of one transaction: more FHIR services do not take."""
MAX_LISTED = 2_000
"""Instances that the studies of one transaction list, unless it is one study: some 500 KB."""
_REMEMBERED = ("ImagingStudy", "Endpoint")
"""A Patient is read for each batch: others than we write them, and a link to one that is gone would be rubbish."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a transaction: its entries, and the instances that its studies list."""

    writes: int = 0
    listed: int = 0

    @classmethod
    def of(cls, writes: Sequence[Write]) -> "Size":
        return cls(len(writes), sum(map(_listed, writes)))

    def __add__(self, more: "Size") -> "Size":
        return Size(self.writes + more.writes, self.listed + more.listed)

    @property
    def is_fit(self) -> bool:
        """Whether one transaction of several studies can take it."""
        return self.writes <= MAX_WRITES and self.listed <= MAX_LISTED


def transact(fhir: FhirServer, lease: Lease, known: KnownResources, writes: Sequence[Write]) -> None:
    """All or nothing. Raises ConflictError where somebody else wrote first, FhirRefusedError, TransientError."""
    # After FHIR was read, not before: what another host writes from here on, If-Match and ifNoneExist will tell.
    lease.ensure_held()
    answers = fhir.transact(transaction_bundle(writes))
    for write, answer in zip(writes, answers, strict=True):
        if isinstance(write, Create) and _status(answer) != "201":
            # 200: it existed after all, and what we sent was not written.
            raise ConflictError(f"a {write.resource['resourceType']} was created by somebody else meanwhile")
    for write, resource in zip(writes, written(writes, answers), strict=True):
        query = write.if_none_exist if isinstance(write, Create) else write.query
        if query and write.resource["resourceType"] in _REMEMBERED:
            known.put(query, resource)


def together(writes_of: Iterable[Sequence[Write]]) -> list[Write] | None:
    """The writes of several studies as those of one transaction; None where two of them want one resource differently.

    What they share, the Endpoint or a Patient, is written once.
    """
    writes: dict[str, Write] = {}
    for write in (one for some in writes_of for one in some):
        name = write.name if isinstance(write, Create) else f"{write.resource['resourceType']}/{write.resource['id']}"
        if writes.setdefault(name, write) != write:
            return None
    return list(writes.values())


def _listed(write: Write) -> int:
    return sum(len(series.get("instance", ())) for series in write.resource.get("series", ()))


def _status(answer: Resource) -> str:
    return str(answer["response"]["status"]).split()[0]
