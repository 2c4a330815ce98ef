"""What the server does where servers differ, tried on Endpoints of the run's own."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from uuid import uuid4

from local.acceptance.ledger import Ledger
from local.acceptance.paging import next_link_shape
from local.acceptance.server import (
    BAD_REQUEST,
    CREATED,
    FAULTS,
    OK,
    FhirAnswerError,
    FhirServer,
    Resource,
    code_of,
    created,
    next_link,
)
from local.acceptance.traffic import Traffic
from local.fhir_account import Resource as HeldResource
from shared.errors import OutageError

TAG_SYSTEM = "urn:dicom-cast:source"
_LOCK_ROUNDS = 5
_VISIBLE_SECONDS = 10.0
_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


class Probes:
    """Each answers with what goes into the table."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger

    def of_writes(self) -> Iterator[tuple[str, str]]:
        """Rows of the table, by small writes that are removed with the rest."""
        yield "batch", _told(self._batch)
        yield "stale If-Match", _told(self._stale_update)
        yield "stale If-Match on DELETE", _told(self._stale_delete)
        yield "a refused transaction", _told(self._rollback)
        yield "meta.versionId in searches", _told(self._versions)
        yield "meta.source", _told(self._source)
        yield "meta.tag", _told(self._tag)
        yield "POST _search", _told(self._post_search)
        yield "conditional create, two at once", _told(self._lock)
        yield "a search after a write", _told(self._currency)
        yield "the same search without no-cache", _told(self._cache)

    def of_pages(self, report: str) -> Iterator[tuple[str, str]]:
        """Rows of the table, by the Observations of a dose report."""
        yield "page size", _told(lambda: self._page_size(report))
        yield "link to the next page", _told(lambda: self._next_link(report))

    def of_traffic(self, traffic: Traffic) -> Iterator[tuple[str, str]]:
        """Rows of the table, by what the app sent."""
        taken = [one for one in traffic.writes if one.status < BAD_REQUEST]
        refused = [one for one in traffic.writes if one.status >= BAD_REQUEST]
        told = f"{max((one.entries for one in taken), default=0)} entries"
        yield "largest transaction taken from the app", f"{told}, {max((one.size for one in taken), default=0)} bytes"
        codes = ", ".join(f"{code} {count} times" for code, count in Counter(one.status for one in refused).items())
        told = f"{codes}; the smallest of {min(one.entries for one in refused)} entries" if refused else "none"
        yield "transactions refused to the app", told
        yield "requests of the app", f"{traffic.calls}, of them {len(traffic.writes)} that write"

    def _batch(self) -> str:
        asked = {"request": {"method": "GET", "url": f"Endpoint?identifier={self._ledger.system}%7Cnone"}}
        answer = self._server.send("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [asked]})
        return "taken" if answer.status_code == OK else f"refused ({answer.status_code})"

    def _stale_update(self) -> str:
        reference, endpoint = self._updated_once()
        stale = self._put({**endpoint, "name": "stale"}, 'W/"1"', reference)
        stale_status, _ = self._server.transact(stale)
        if (self._server.read(reference) or {}).get("name") == "stale":
            return f"{stale_status}, written all the same"
        return f"{stale_status}, refused"

    def _stale_delete(self) -> str:
        reference, _ = self._updated_once()
        status, _ = self._server.transact({"request": {"method": "DELETE", "url": reference, "ifMatch": 'W/"1"'}})
        kept = self._server.read(reference) is not None
        return f"{status}, " + ("refused" if kept else "ignored: it was deleted")

    def _rollback(self) -> str:
        reference, endpoint = self._updated_once()
        mark = uuid4().hex
        status, _ = self._server.transact(
            self._post(mark), self._put({**endpoint, "name": "stale"}, 'W/"1"', reference)
        )
        if status < BAD_REQUEST:
            return "not told: nothing was refused"
        return "written in part" if self._with_mark(mark) else "rolled back as a whole"

    def _versions(self) -> str:
        _, mark = self._make()
        return "there" if self._one(mark).get("meta", {}).get("versionId") else "missing"

    def _source(self) -> str:
        _, mark = self._make()
        source = str(self._one(mark).get("meta", {}).get("source", ""))
        wanted = self._ledger.service_url
        if source == wanted:
            return "kept"
        return "kept, with something behind it" if source.startswith(wanted) else "not kept"

    def _tag(self) -> str:
        _, mark = self._make()
        tags = [(one.get("system"), one.get("code")) for one in self._one(mark).get("meta", {}).get("tag", [])]
        return "kept" if (TAG_SYSTEM, self._ledger.service_url) in tags else "not kept"

    def _post_search(self) -> str:
        _, mark = self._make()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._server.service.send(
            "POST",
            "/Endpoint/_search",
            body=f"identifier={self._ledger.system}%7C{mark}".encode(),
            headers={"Accept": "application/fhir+json", "Cache-Control": "no-cache", **headers},
        )
        if answer.status_code != OK:
            return f"refused ({answer.status_code})"
        return "taken" if mark.encode() in answer.content else "taken, and finds nothing"

    def _lock(self) -> str:
        """Whether of two creates at once, with the same condition, one finds the other's."""
        most, codes = 0, Counter[str]()
        for _ in range(_LOCK_ROUNDS):
            mark = uuid4().hex
            told: list[str] = []
            post = self._post(mark)
            post["request"]["ifNoneExist"] = f"identifier={self._ledger.system}%7C{mark}"
            start = threading.Barrier(2)
            threads = [threading.Thread(target=self._race, args=(start, post, told)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            codes.update(told)
            most = max(most, len(self._with_mark(mark)))
        said = ", ".join(f"{code} {count} times" for code, count in sorted(codes.items()))
        return ("a lock" if most == 1 else f"no lock: {most} were made") + f" ({said})"

    def _race(self, start: threading.Barrier, post: Resource, told: list[str]) -> None:
        start.wait()
        try:
            status, entries = self._server.transact(post)
        except (*FAULTS, OutageError) as error:
            told.append(type(error).__name__)
            return
        self._ledger.was_made(one for one in map(created, entries) if one)
        told.append(code_of(entries[0]) if entries else str(status))

    def _currency(self) -> str:
        _, mark = self._make()
        began = time.monotonic()
        while not self._with_mark(mark):
            if time.monotonic() - began > _VISIBLE_SECONDS:
                return f"does not find it within {_VISIBLE_SECONDS:.0f} s"
            time.sleep(0.1)
        took = time.monotonic() - began
        return "finds it at once" if took < 1 else f"finds it after {took:.1f} s"

    def _cache(self) -> str:
        _, mark = self._make()
        before = self._plainly(mark)
        self._make(mark)
        return "is current too" if self._plainly(mark) > before else "says what was before"

    def _plainly(self, mark: str) -> int:
        """How many a search finds that does not ask for a fresh answer."""
        path = f"/Endpoint?identifier={self._ledger.system}%7C{mark}"
        answer = self._server.service.send("GET", path, headers={"Accept": "application/fhir+json"})
        return len(json.loads(answer.content).get("entry", [])) if answer.status_code == OK else 0

    def _page_size(self, report: str) -> str:
        bundle = next(self._server.pages(_observations_of(report)))
        count = len(bundle.get("entry", []))
        if not count:
            raise FhirAnswerError("there are no Observations to search for")
        return str(count) if next_link(bundle) else f"more than {count}"

    def _next_link(self, report: str) -> str:
        bundle = next(self._server.pages(f"{_observations_of(report)}&_count=10"))
        link = next_link(bundle)
        if link:
            return next_link_shape(self._server.url, link)
        return "none, though ten Observations were asked for" if len(bundle.get("entry", [])) else "not told"

    def _updated_once(self) -> tuple[str, HeldResource]:
        """An Endpoint in its second version, so that the first is stale."""
        reference, mark = self._make()
        endpoint = {**self._one(mark), "name": "updated"}
        status = self._server.send("PUT", f"/{reference}", endpoint).status_code
        if status >= BAD_REQUEST:
            raise FhirAnswerError(f"status {status} to an update")
        return reference, endpoint

    def _make(self, mark: str | None = None) -> tuple[str, str]:
        """`Endpoint/id` of a new one, and the value of its identifier."""
        mark = mark or uuid4().hex
        status, entries = self._server.transact(self._post(mark))
        if status not in (OK, CREATED) or not entries:
            raise FhirAnswerError(f"status {status} to a transaction that creates an Endpoint")
        reference = created(entries[0]) or f"Endpoint/{self._one(mark)['id']}"
        self._ledger.was_made([reference])
        return reference, mark

    def _post(self, mark: str) -> Resource:
        source = self._ledger.service_url
        endpoint = {
            "resourceType": "Endpoint",
            "meta": {"source": source, "tag": [{"system": TAG_SYSTEM, "code": source}]},
            "identifier": [{"system": self._ledger.system, "value": mark}],
            "status": "test",
            "name": "probe",
            "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
            "payloadType": [{"text": "none"}],
            "address": source,
        }
        request = {"method": "POST", "url": "Endpoint"}
        return {"fullUrl": f"urn:uuid:{uuid4()}", "resource": endpoint, "request": request}

    def _put(self, endpoint: HeldResource, if_match: str, reference: str) -> Resource:
        return {"resource": dict(endpoint), "request": {"method": "PUT", "url": reference, "ifMatch": if_match}}

    def _with_mark(self, mark: str) -> list[Resource]:
        return self._server.identified("Endpoint", self._ledger.system, mark)

    def _one(self, mark: str) -> Resource:
        found = self._with_mark(mark)
        if not found:
            raise FhirAnswerError("what was just made is not found")
        return found[0]


def _told(probe: Callable[[], str]) -> str:
    try:
        return probe()
    except (*FAULTS, OutageError) as error:
        return f"not told: {' '.join(str(error).split())}"


def _observations_of(report: str) -> str:
    return f"/Observation?identifier=urn:dicom:uid%7Curn:oid:{report}"
