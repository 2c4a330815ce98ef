"""The self-check of a FHIR server's writes, with an Endpoint of the app's own that is removed again.

It tries create, update, If-Match, rollback and delete. Some servers keep the id of what was deleted, so an update of
the deleted Endpoint and a new conditional create of it are tried too.
"""

from uuid import uuid4

from shared.clients.fhir.answers import objects
from shared.clients.fhir.client import FhirClient
from shared.clients.fhir.probe import NOT_JUDGED, SYSTEM, endpoint, query_for
from shared.errors import CheckError, ConflictError, DicomCastError, FhirRefusedError, TransientError
from shared.model.fhir import Resource

REFUSED = (ConflictError, FhirRefusedError, TransientError)
"""How servers refuse a stale If-Match: 412 by R4, 409, and 500 too."""
_GONE = frozenset({404, 410})


class WriteCheck:
    """Tries one server. What was made is removed, whatever is found."""

    def __init__(self, fhir: FhirClient) -> None:
        self._fhir = fhir
        self._name = f"{uuid4()}"
        self._made: str | None = None

    def run(self) -> str:
        """What was found, as a text. Raises CheckError if the app could not keep FHIR true with this server."""
        try:
            first = self._create()
            second = self._update(first)
            code = self._stale_update(first)
            honoured = self._stale_delete(second, first)
        finally:
            self._remove()
        again = self._update_of_gone(second)
        self._create_anew()
        deletes = "is heeded on DELETE too" if honoured else "is ignored on DELETE: what goes is updated first"
        known = self._fhir.capabilities
        kept = [name for name, is_kept in (("meta.source", known.source_kept), ("tags", known.tag_kept)) if is_kept]
        return (
            f"written, read, rolled back and removed; a stale If-Match is refused ({code}) and {deletes};"
            f" an update of what was deleted {again}; kept of meta: {' and '.join(kept)}"
        )

    def _create(self) -> Resource:
        (answer,) = self._fhir.transact(_bundle(_create_entry(endpoint(self._name))))
        self._made = answer.reference or self._found(self._name)
        held = self._fhir.read(self._made) if self._made else None
        if held is None:
            raise CheckError(f"an Endpoint was made and is not there (Endpoint.identifier {SYSTEM}|{self._name})")
        meta = _meta(held)
        tags = [one.get("system") for one in objects(meta.get("tag"))]
        source = str(meta.get("source", "")).split("#")[0]
        self._fhir.learn(source_kept=source == SYSTEM, tag_kept=SYSTEM in tags)
        if source != SYSTEM and SYSTEM not in tags:
            raise CheckError("the server keeps neither meta.source nor meta.tag: what the app made could not be told")
        if "versionId" not in meta:
            raise CheckError("the server tells no versions (meta.versionId, ETag): nobody's writes would be safe")
        return held

    def _update(self, held: Resource) -> Resource:
        self._fhir.transact(_bundle(_update_entry(held, "off")))
        now = self._fhir.read(f"Endpoint/{held['id']}")
        if now is None or now.get("status") != "off":
            raise CheckError(f"an update was answered as done and is not there (Endpoint/{held['id']})")
        return now

    def _stale_update(self, stale: Resource) -> str:
        """The status by which a stale If-Match is refused. The create in the same transaction must be undone."""
        other = f"{self._name}-rolled-back"
        try:
            self._fhir.transact(_bundle(_create_entry(endpoint(other)), _update_entry(stale, "error")))
        except REFUSED as error:
            if left := self._found(other):
                self._delete(left)
                raise CheckError(
                    f"a refused transaction was written in part ({left}): the server's transactions are not"
                    " all-or-nothing, and FHIR cannot be kept true to DICOM with it"
                ) from None
            if error.status in NOT_JUDGED:
                raise CheckError(
                    f"a transaction to be refused for its stale If-Match was not judged (status {error.status}):"
                    " whether If-Match is heeded, and refused transactions are rolled back, is not shown"
                ) from None
            return str(error.status or "refused")
        if left := self._found(other):
            self._delete(left)
        raise CheckError("If-Match is not heeded: an update of an old version was taken, others' writes would be lost")

    def _stale_delete(self, now: Resource, stale: Resource) -> bool:
        """Whether a delete of an old version was refused."""
        try:
            self._fhir.transact(_bundle(_delete_entry({**now, "meta": _meta(stale)})))
        except REFUSED:
            self._fhir.learn(delete_if_match=True)
            return True
        self._fhir.learn(delete_if_match=False)
        return False

    def _update_of_gone(self, gone: Resource) -> str:
        """What comes of an update of the deleted Endpoint, with its last version in If-Match."""
        try:
            self._fhir.transact(_bundle(_update_entry(gone, "error")))
        except REFUSED as error:
            if error.status is None or error.status in NOT_JUDGED - _GONE:
                return "was not judged"
            self._fhir.learn(deleted_kept=True)
            return f"is refused ({error.status})"
        self._remove()
        self._fhir.learn(deleted_kept=False)
        return "makes it again: what others delete while a study is synced comes back"

    def _create_anew(self) -> None:
        """Raises CheckError if a conditional create finds the deleted Endpoint: no deleted study could come back."""
        (answer,) = self._fhir.transact(_bundle(_create_entry(endpoint(self._name))))
        self._made = answer.reference or self._found(self._name)
        if self._made is None or self._fhir.read(self._made) is None:
            raise CheckError(
                "a conditional create finds what was deleted before, and makes nothing: a study that is stored again"
                " would not come back. Where searches lag behind writes, Fhir__SearchDelay says how long"
            )
        self._remove()

    def _remove(self) -> None:
        if self._made is not None:
            self._delete(self._made)

    def _delete(self, reference: str) -> None:
        try:
            if (held := self._fhir.read(reference)) is not None:
                self._fhir.transact(_bundle(_delete_entry(held)))
                held = self._fhir.read(reference)
        except DicomCastError as error:
            message = f"{reference} was made to try the server, and is left ({error})"
            raise CheckError(message, f"delete {reference}") from error
        if held is not None:
            message = f"{reference} was made to try the server; its delete was taken, and it is there still"
            raise CheckError(message, f"delete {reference}")

    def _found(self, name: str) -> str | None:
        found = self._fhir.search("Endpoint", query_for(name))
        own = [one for one in found if {"system": SYSTEM, "value": name} in objects(one.get("identifier"))]
        return f"Endpoint/{own[0]['id']}" if own else None


def _bundle(*entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def _create_entry(resource: Resource) -> Resource:
    (identifier,) = resource["identifier"]
    request = {"method": "POST", "url": "Endpoint", "ifNoneExist": query_for(identifier["value"])}
    return {"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource, "request": request}


def _update_entry(held: Resource, status: str) -> Resource:
    return {"resource": {**held, "status": status}, "request": _guarded("PUT", held)}


def _delete_entry(held: Resource) -> Resource:
    return {"request": _guarded("DELETE", held)}


def _meta(held: Resource) -> Resource:
    meta = held.get("meta")
    return meta if isinstance(meta, dict) else {}


def _guarded(method: str, held: Resource) -> Resource:
    """A request with If-Match; without it if the server gives no versions, so that the Endpoint can be removed."""
    version = _meta(held).get("versionId")
    condition = {} if version is None else {"ifMatch": f'W/"{version}"'}
    return {"method": method, "url": f"Endpoint/{held['id']}", **condition}
