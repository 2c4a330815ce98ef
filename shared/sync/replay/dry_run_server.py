"""What stands in for the FHIR server in a dry run: it reads from the real one and writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.mapping.held import objects
from shared.mapping.transaction import reference_of
from shared.model.fhir import Resource, Written
from shared.model.lease import LeaseState
from shared.model.replay import PlannedWrite
from shared.sync.ports import FhirServer


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A planned write, and the resource before and after it; None: there is none."""

    write: PlannedWrite
    before: Resource | None
    after: Resource | None


class DryRunServer:
    """Responds as if each transaction had been applied; later reads of a resource see it as changed.

    `writes` and `changes` say what would have been written, each resource once. `seen`: the resources that were read
    from the real server, by reference.
    """

    def __init__(self, fhir: FhirServer) -> None:
        self._fhir = fhir
        self._writes: dict[str, PlannedWrite] = {}
        self._planned: dict[str, Resource | None] = {}
        self.seen: dict[str, Resource] = {}

    @property
    def calls(self) -> int:
        return self._fhir.calls

    @property
    def quickest(self) -> float:
        return self._fhir.quickest

    @property
    def writes(self) -> tuple[PlannedWrite, ...]:
        return tuple(self._writes.values())

    @property
    def changes(self) -> tuple[PlannedChange, ...]:
        return tuple(
            PlannedChange(write, self.seen.get(reference), self._planned[reference])
            for reference, write in self._writes.items()
        )

    def capability_texts(self) -> Mapping[str, str]:
        return self._fhir.capability_texts()

    def check(self) -> None:
        self._fhir.check()

    def ensure_answers(self) -> None:
        self._fhir.ensure_answers()

    def probe(self) -> None:
        """A search only: the real probe sends a write, which the server is meant to refuse."""
        self._fhir.ensure_answers()

    def search(self, resource_type: str, query: str) -> list[Resource]:
        return self._noted(self._fhir.search(resource_type, query))

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        return [self._noted(found) for found in self._fhir.search_many(searches)]

    def pages(self, resource_type: str, query: str, most: int) -> Iterator[list[Resource]]:
        return (self._noted(page) for page in self._fhir.pages(resource_type, query, most))

    def first(self, resource_type: str, query: str) -> list[Resource]:
        return self._noted(self._fhir.first(resource_type, query))

    def read(self, reference: str) -> Resource | None:
        if reference in self._planned:
            return self._planned[reference]
        found = self._fhir.read(reference)
        if found is None:
            self.seen.pop(reference, None)  # a search that lags behind may have shown it
        else:
            self._noted([found])
        return found

    def transact(self, bundle: Resource) -> list[Written]:
        return [self._plan(entry) for entry in bundle["entry"]]

    def most_entries(self, *, conditional: bool) -> int:
        return self._fhir.most_entries(conditional=conditional)

    def too_many_entries(self, size: int, *, conditional: bool) -> None:
        """A dry run has no transaction refused."""

    def _noted(self, found: list[Resource]) -> list[Resource]:
        self.seen |= {reference_of(one): one for one in found}
        return found

    def _plan(self, entry: Resource) -> Written:
        request, resource = entry["request"], entry.get("resource", {})
        created = request["method"] == "POST"
        if created:
            resource = {**resource, "id": entry["fullUrl"].removeprefix("urn:uuid:")}
        reference = reference_of(resource) if resource else request["url"]
        version = f"planned-{len(self._planned) + 1}"
        meta = {"meta": {**resource.get("meta", {}), "versionId": version}}
        self._planned[reference] = {**resource, **meta} if resource else None
        planned = PlannedWrite(request["method"], request["url"], _study_uid(resource))
        before = self._writes.get(reference)
        if before is not None and before.method == "POST":
            planned = before  # still to be created, even if a later transaction changes it
        self._writes[reference] = planned
        return Written(created, reference, version)


def _study_uid(resource: Resource) -> str:
    if resource.get("resourceType") != "ImagingStudy":
        return ""
    values = [str(one.get("value", "")) for one in objects(resource.get("identifier"))]
    return next((value.removeprefix("urn:oid:") for value in values if value.startswith("urn:oid:")), "")


class NoLease:
    """The lease of a dry run, which writes nothing and so needs none."""

    def acquire(self) -> bool:
        return True

    def ensure_held(self) -> None:
        """Nothing is written."""

    def show_progress(self, done: int, entries: int) -> None:
        pass

    def release(self) -> None:
        """Nothing was taken."""

    def state(self) -> LeaseState:
        return LeaseState(held=False, since=None)
