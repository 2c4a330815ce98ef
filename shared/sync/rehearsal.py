"""A FHIR server that is read but not written: what a dry run speaks to."""

from collections.abc import Sequence

from shared.model import Resource
from shared.replay import PlannedWrite
from shared.sync.ports import FhirServer


class Rehearsal:
    """Answers as if every transaction had been applied; `writes` says what they were, each once."""

    def __init__(self, fhir: FhirServer) -> None:
        self._fhir = fhir
        self._writes: dict[str, PlannedWrite] = {}

    @property
    def calls(self) -> int:
        return self._fhir.calls

    @property
    def writes(self) -> tuple[PlannedWrite, ...]:
        return tuple(self._writes.values())

    def check(self) -> None:
        self._fhir.check()

    def probe(self) -> None:
        self._fhir.probe()

    def search(self, resource_type: str, query: str) -> list[Resource]:
        return self._fhir.search(resource_type, query)

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        return self._fhir.search_many(searches)

    def transact(self, bundle: Resource) -> list[Resource]:
        for entry in bundle["entry"]:
            request = entry["request"]
            # The Endpoint is named in every bundle until it is there: its name tells that it is the same one.
            name = entry.get("fullUrl", request["url"])
            self._writes[name] = PlannedWrite(request["method"], request["url"], _study_uid(entry.get("resource", {})))
        created = {"POST": "201", "PUT": "200", "DELETE": "204"}
        return [{"response": {"status": created[entry["request"]["method"]]}} for entry in bundle["entry"]]


def _study_uid(resource: Resource) -> str:
    if resource.get("resourceType") != "ImagingStudy":
        return ""
    values = [str(one.get("value", "")) for one in resource.get("identifier", [])]
    return next((value.removeprefix("urn:oid:") for value in values if value.startswith("urn:oid:")), "")
