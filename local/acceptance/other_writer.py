"""Another system that writes to the run's own resources, as a RIS or a curator would: what it wrote must be kept."""

from local.acceptance.ledger import Ledger
from local.acceptance.promises import BrokenError
from local.acceptance.server import BAD_REQUEST, FhirServer, Resource


class OtherWriter:
    """Adds an identifier, a note and an extension to an ImagingStudy, each time under another word."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._system = ledger.system
        self._words: dict[str, list[str]] = {}

    def write(self, reference: str) -> None:
        """With If-Match, as everybody should. Raises BrokenError."""
        resource = self._server.read(reference)
        if resource is None:
            raise BrokenError(f"{reference} is not there for another system to write to")
        words = self._words.setdefault(reference, [])
        word = f"another-system-{len(words) + 1}"
        resource.setdefault("identifier", []).append({"system": self._system, "value": word})
        resource.setdefault("note", []).append({"text": word})
        resource.setdefault("extension", []).append({"url": f"{self._system}#note", "valueString": word})
        version = resource.get("meta", {}).get("versionId")
        headers = {"If-Match": f'W/"{version}"'} if version else {}
        status = self._server.send("PUT", f"/{reference}", resource, headers).status_code
        if status >= BAD_REQUEST:
            raise BrokenError(f"another system's update of {reference} was refused ({status})")
        words.append(word)

    def check(self, reference: str) -> None:
        """Raises BrokenError where anything that it wrote is gone."""
        resource = self._server.read(reference)
        if resource is None:
            raise BrokenError(f"{reference} was deleted with what another system had written to it")
        wrote = self._words.get(reference, [])
        lost = sorted({name for word in wrote for name in _lacking(resource, word)})
        if lost:
            raise BrokenError(f"what another system had written to {reference} is lost: {', '.join(lost)}")


def _lacking(resource: Resource, word: str) -> list[str]:
    there = {
        "identifier": [one.get("value") for one in resource.get("identifier", [])],
        "note": [one.get("text") for one in resource.get("note", [])],
        "extension": [one.get("valueString") for one in resource.get("extension", [])],
    }
    return [name for name, values in there.items() if word not in values]
