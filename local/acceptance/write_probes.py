"""Probes of how the server handles writes, with Endpoints of the run."""

import threading
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

from local.acceptance.ledger import Ledger
from local.acceptance.own_endpoints import TAG_SYSTEM, OwnEndpoints
from local.acceptance.probe import Probe
from local.acceptance.server import BAD_REQUEST, FAULTS, OK, FhirServer, Resource, code_of, created
from local.acceptance.traffic import Traffic
from shared.clients.fhir.probe import NOT_JUDGED
from shared.errors import OutageError

_LOCK_ROUNDS = 5
_STALE = 'W/"1"'
_CONFLICTS = (409, 412)


class WriteProbes:
    """The probes. Each returns the text for its row of the table."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger
        self._endpoints = OwnEndpoints(server, ledger)

    def rows(self) -> list[tuple[str, Probe]]:
        """The probes, by the names of their rows."""
        return [
            ("batch", self._batch),
            ("stale If-Match", self._stale_update),
            ("stale If-Match on DELETE", self._stale_delete),
            ("a refused transaction", self._rollback),
            ("meta.source", self._source),
            ("meta.tag", self._tag),
            ("conditional create, two at once", self._conditional_create),
        ]

    def _batch(self) -> str:
        asked = {"request": {"method": "GET", "url": f"Endpoint?identifier={self._ledger.system}%7Cnone"}}
        answer = self._server.send("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [asked]})
        return "taken" if answer.status_code == OK else f"refused ({answer.status_code})"

    def _stale_update(self) -> str:
        reference, endpoint = self._endpoints.updated_once()
        status, _ = self._server.transact(self._endpoints.put({**endpoint, "name": "stale"}, _STALE, reference))
        is_written = (self._server.read(reference) or {}).get("name") == "stale"
        return f"{status}, " + ("ignored: it was written" if is_written else "refused")

    def _stale_delete(self) -> str:
        reference, _ = self._endpoints.updated_once()
        status, _ = self._server.transact({"request": {"method": "DELETE", "url": reference, "ifMatch": _STALE}})
        is_there = self._server.read(reference) is not None
        return f"{status}, " + ("refused" if is_there else "ignored: it was deleted")

    def _rollback(self) -> str:
        reference, endpoint = self._endpoints.updated_once()
        mark = uuid4().hex
        stale = self._endpoints.put({**endpoint, "name": "stale"}, _STALE, reference)
        status, _ = self._server.transact(self._endpoints.post(mark), stale)
        if status < BAD_REQUEST:
            return "not told: nothing was refused"
        if self._endpoints.with_mark(mark):
            return "written in part"
        return f"not told: answered {status}" if status in NOT_JUDGED else "rolled back as a whole"

    def _source(self) -> str:
        _, mark = self._endpoints.make()
        source = str(self._endpoints.find(mark).get("meta", {}).get("source", ""))
        if source == self._ledger.service_url:
            return "kept"
        return "kept, with something behind it" if source.startswith(self._ledger.service_url) else "not kept"

    def _tag(self) -> str:
        _, mark = self._endpoints.make()
        tags = self._endpoints.find(mark).get("meta", {}).get("tag", [])
        wanted = TAG_SYSTEM, self._ledger.service_url
        return "kept" if wanted in [(one.get("system"), one.get("code")) for one in tags] else "not kept"

    def _conditional_create(self) -> str:
        """Whether two simultaneous creates with the same condition make only one resource, in each of five rounds."""
        most, codes = 0, Counter[str]()
        for _ in range(_LOCK_ROUNDS):
            mark = uuid4().hex
            outcomes: list[str] = []
            post = self._endpoints.post(mark)
            post["request"]["ifNoneExist"] = f"identifier={self._ledger.system}%7C{mark}"
            start = threading.Barrier(2)
            threads = [threading.Thread(target=self._race, args=(start, post, outcomes)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            codes.update(outcomes)
            most = max(most, len(self._endpoints.with_mark(mark)))
        return ("a lock" if most == 1 else f"no lock: {most} were made") + f" ({_counted(codes)})"

    def _race(self, start: threading.Barrier, post: Resource, outcomes: list[str]) -> None:
        start.wait()
        try:
            status, entries = self._server.transact(post)
        except (*FAULTS, OutageError) as error:
            outcomes.append(type(error).__name__)
            return
        self._ledger.was_made(one for one in map(created, entries) if one)
        outcomes.append(code_of(entries[0]) if entries else str(status))


def traffic_rows(traffic: Traffic) -> Iterator[tuple[str, str]]:
    """Rows of the table about the requests that the app sent."""
    taken = [one for one in traffic.writes if one.status < BAD_REQUEST]
    refused = [one for one in traffic.writes if one.status >= BAD_REQUEST]
    largest = f"{max((one.entries for one in taken), default=0)} entries"
    yield "largest transaction taken from the app", f"{largest}, {max((one.size for one in taken), default=0)} bytes"
    yield "transactions refused to the app", _counted(Counter(str(one.status) for one in refused)) or "none"
    limits = [one.entries for one in refused if one.status not in _CONFLICTS]
    yield "smallest of them but for conflicts", f"{min(limits)} entries" if limits else "none"
    yield "requests of the app", f"{traffic.calls}, of them {len(traffic.writes)} that write"


def _counted(codes: Counter[str]) -> str:
    return ", ".join(f"{code} {count} times" for code, count in sorted(codes.items()))
