"""On the local FHIR server: the app beside the longer of what it cannot do without, both alone and in the same run.

(a) reads and parses the same pages of the feed; (b) sends the app's own transactions again, as many at once as the app has
lanes, about other studies and patients.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace

import requests

from tests.bench.fresh.host import LANES
from tests.bench.fresh.parts import Host, Parts, meter
from tests.bench.fresh.row import Measured
from tests.bench.fresh.tree import Tree
from tests.bench.hapi_worker import renumbered
from tests.bench.rig import FhirServer
from tests.bench.workloads import Work, cr_studies, ct_studies

ROUNDS = 3
APART = 100_000
WAS, NOW = 11, 61
"""What the numbers of the app's studies and patients begin with, and those of what is sent again."""
FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Seconds:
    """`app`: what its ticks took; `own_cpu` of its process, `server_cpu` of the FHIR server meanwhile.

    `pages`: reading and parsing the feed, and nothing else. `sent`: the app's transactions sent again, and nothing else;
    `sent_cpu`: of the FHIR server meanwhile.
    """

    app: float
    own_cpu: float
    server_cpu: float
    pages: float
    sent: float
    sent_cpu: float

    @property
    def longer(self) -> float:
        """What the app cannot do without, and what it is held to."""
        return max(self.pages, self.sent)

    @property
    def note(self) -> str:
        """What the app's time is spent on; neither CPU time can be less, whatever is done at once."""
        return (
            f"{self.app:.2f} s, in which the app took {self.own_cpu:.2f} s of CPU and the FHIR server {self.server_cpu:.2f} s; "
            f"reading alone {self.pages:.2f} s; transactions alone {self.sent:.2f} s, {self.sent_cpu:.2f} s of the server's CPU"
        )


def ct(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """CT studies of 1,000 slices."""
    took = _measured(parts, tree, ct_studies(1, 50) if is_quick else ct_studies(4, 1_000), is_quick)
    return Measured({"app : the longer alone": took.app / took.longer}, note=took.note)


def cr(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """One-instance studies."""
    took = _measured(parts, tree, cr_studies(10 if is_quick else 1_000), is_quick)
    return Measured({"the longer alone : app": took.longer / took.app}, note=took.note)


def _measured(parts: Parts, tree: Tree, work: Work, is_quick: bool) -> Seconds:
    """The least of some rounds, of each."""
    numbered = [
        replace(one, number=WAS * APART + one.number, patient=WAS * APART + one.patient) for one in work.studies
    ]
    work = replace(work, name=f"{work.name}-numbered", studies=numbered)
    with (
        parts.archive(work) as archive,
        parts.fhir("sekmet") as fhir,
        parts.host(tree, archive, fhir) as host,
    ):
        rounds = [_round(host, fhir, work, number) for number in range(1 if is_quick else ROUNDS)]
    return Seconds(*map(min, zip(*map(astuple, rounds), strict=True)))


def _round(host: Host, fhir: FhirServer, work: Work, number: int) -> Seconds:
    fhir.empty()
    fhir.keep()
    host.begin(f"round{number}")
    host.ask("count")
    before = meter(fhir)["cpu_seconds"]
    ticks = host.ticks_until_synced()
    own_cpu, server_cpu = host.ask("spent")["cpu"], meter(fhir)["cpu_seconds"] - before
    bodies = [_creating(renumbered(body, WAS, NOW)) for body in fhir.kept()]
    app = sum(tick["ended"] - tick["began"] for tick in ticks)
    assert sum(tick["entries"] for tick in ticks) == work.entries
    read = host.ask("read_feed")
    assert read["entries"] == work.entries
    before = meter(fhir)["cpu_seconds"]
    sent = _timed(lambda: _send(fhir, bodies))
    return Seconds(app, own_cpu, server_cpu, read["seconds"], sent, meter(fhir)["cpu_seconds"] - before)


def _creating(body: bytes) -> bytes:
    """Updates of what the app's own transactions made become creates: an id that was given then is not known now."""
    if b'"PUT"' not in body:
        return body
    bundle = json.loads(body)
    for entry in bundle["entry"]:
        if entry["request"]["method"] == "PUT":
            entry["request"] = {"method": "POST", "url": entry["resource"]["resourceType"]}
    return json.dumps(bundle).encode()


def _send(fhir: FhirServer, bodies: Sequence[bytes]) -> None:
    threads = threading.local()

    def post(body: bytes) -> None:
        if not hasattr(threads, "session"):
            threads.session = requests.Session()
        headers = {"Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "Prefer": "return=minimal"}
        answer = threads.session.post(fhir.url, data=body, headers=headers, timeout=100)
        answer.raise_for_status()
        json.loads(answer.content)

    with ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(post, bodies))


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
