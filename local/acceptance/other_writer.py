"""Another system that writes to the run's ImagingStudies, as a RIS would. The app must keep what it wrote."""

from local.acceptance.ledger import Ledger
from local.acceptance.promises import BrokenError
from local.acceptance.server import BAD_REQUEST, FhirServer, Resource


class OtherWriter:
    """Adds an identifier, a note and an extension to an ImagingStudy, with a new value each time."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._system = ledger.system
        self._values: dict[str, list[str]] = {}

    def write(self, reference: str) -> None:
        """Updates the resource, with If-Match. Raises BrokenError if it is not there or the update is refused."""
        resource = self._server.read(reference)
        if resource is None:
            raise BrokenError(f"{reference} is not there for another system to write to")
        values = self._values.setdefault(reference, [])
        value = f"another-system-{len(values) + 1}"
        resource.setdefault("identifier", []).append({"system": self._system, "value": value})
        resource.setdefault("note", []).append({"text": value})
        resource.setdefault("extension", []).append({"url": f"{self._system}#note", "valueString": value})
        version = resource.get("meta", {}).get("versionId")
        headers = {"If-Match": f'W/"{version}"'} if version else {}
        status = self._server.send("PUT", f"/{reference}", resource, headers).status_code
        if status >= BAD_REQUEST:
            raise BrokenError(f"another system's update of {reference} was refused ({status})")
        values.append(value)

    def check(self, reference: str) -> None:
        """Raises BrokenError if anything that was written to the resource is gone."""
        resource = self._server.read(reference)
        if resource is None:
            raise BrokenError(f"{reference} was deleted with what another system had written to it")
        written = self._values.get(reference, [])
        lost = sorted({name for value in written for name in _lacking(resource, value)})
        if lost:
            raise BrokenError(f"what another system had written to {reference} is lost: {', '.join(lost)}")


def _lacking(resource: Resource, value: str) -> list[str]:
    there = {
        "identifier": [one.get("value") for one in resource.get("identifier", [])],
        "note": [one.get("text") for one in resource.get("note", [])],
        "extension": [one.get("valueString") for one in resource.get("extension", [])],
    }
    return [name for name, values in there.items() if value not in values]
