"""What a host remembers of its own writes: for a while, by the search that finds it, and one worker makes a thing at a time."""

import threading
import time
from contextlib import suppress

from shared.sync.merge import resource_cache
from shared.sync.merge.resource_cache import DELETED, MAX_AGE_SECONDS, RecentWrites, ResourceCache
from shared.sync.replay.dry_run_server import DryRunServer
from tests.fakes import FakeFhir

SECONDS = 10  # a thread that has not ended by then hangs


def test_what_is_remembered_is_searched_for_again_after_a_while():
    """Another host may have made the same once more; that this one has written it again meanwhile makes it no younger."""
    now = 0.0
    held = ResourceCache(monotonic=lambda: now)
    held.put("a", {"id": "1"})
    now = MAX_AGE_SECONDS
    assert held.get("a") == {"id": "1"}
    held.put("a", {"id": "2"})
    assert held.get("a") == {"id": "2"}
    now += 1
    assert held.get("a") is None
    held.put("a", {"id": "3"})
    assert held.get("a") == {"id": "3"}
    held.put("a", None)
    assert held.get("a") is None


def test_traces_of_what_was_written():
    """References with their versions; the last word counts, and what is gone says so."""
    recent_writes = RecentWrites()
    recent_writes.note("q", "Patient/1", "1")
    recent_writes.note("q", "Patient/2", None)
    recent_writes.note("q", "Patient/1", "2")
    recent_writes.note("p", "Patient/3", "1")
    assert recent_writes.of("q") == [("Patient/1", "2"), ("Patient/2", None)]
    recent_writes.deleted("q", "Patient/1")
    assert recent_writes.of("q") == [("Patient/1", DELETED), ("Patient/2", None)]
    assert recent_writes.of("x") == []


def test_a_dry_run_knows_the_host_s_traces_and_leaves_none():
    """Its own go before them."""
    hosts = RecentWrites()
    hosts.note("q", "Patient/1", "1")
    hosts.note("q", "Patient/2", "1")
    recent_writes = RecentWrites(hosts)
    recent_writes.note("q", "Patient/2", "planned-1")
    assert recent_writes.of("q") == [("Patient/1", "1"), ("Patient/2", "planned-1")]
    assert hosts.of("q") == [("Patient/1", "1"), ("Patient/2", "1")]


def test_a_dry_run_has_not_seen_what_is_gone():
    """Though a search that lags behind has shown it."""
    fhir = FakeFhir(resources=[{"resourceType": "ImagingStudy", "id": "1"}])
    dry_run = DryRunServer(fhir)
    dry_run.search("ImagingStudy", "")
    assert dry_run.seen.keys() == {"ImagingStudy/1"}
    fhir.resources.clear()
    assert dry_run.read("ImagingStudy/1") is None
    assert dry_run.seen == {}


def test_traces_are_bounded(monkeypatch):
    """Those of the searches that were noted longest ago go first."""
    monkeypatch.setattr(resource_cache, "MAX_RECENT_WRITES", 2)
    recent_writes = RecentWrites()
    for query in ("a", "b", "a", "c"):
        recent_writes.note(query, "Patient/1", "1")
    assert [bool(recent_writes.of(query)) for query in "abc"] == [True, False, True]


class Worker(threading.Thread):
    """Makes what has these names; `inside` once it does, until `may_end`."""

    def __init__(self, recent_writes, *names, may_end=None):
        super().__init__(daemon=True)
        self.recent_writes, self.names = recent_writes, names
        self.inside, self.may_end = threading.Event(), may_end or threading.Event()
        self.waited = None
        self.start()

    def run(self):
        with self.recent_writes.creating(self.names) as waited:
            self.waited = waited
            self.inside.set()
            self.may_end.wait(SECONDS)


def test_two_lanes_make_one_thing_one_after_the_other():
    """The second waits, and is told that it did; one that makes something else does not wait."""
    recent_writes = RecentWrites()
    first = Worker(recent_writes, "patient", "study 1")
    assert first.inside.wait(SECONDS)
    second, other = Worker(recent_writes, "patient", "study 2"), Worker(recent_writes, "study 3")
    assert other.inside.wait(SECONDS)
    assert not second.inside.wait(0.1)
    first.may_end.set()
    assert second.inside.wait(SECONDS)
    assert (first.waited, second.waited, other.waited) == (False, True, False)
    second.may_end.set()
    other.may_end.set()


def test_what_fails_is_made_by_the_next():
    """An error ends the making too."""
    recent_writes = RecentWrites()
    with suppress(ZeroDivisionError), recent_writes.creating(["patient"]):
        _ = 1 / 0
    with recent_writes.creating(["patient"]) as waited:
        assert not waited


def test_lanes_never_wait_for_each_other():
    """Names that overlap in a ring, in any order: all are taken at once, so that no two workers hold what the other wants."""
    recent_writes, here, clashes, lock = RecentWrites(), set(), [], threading.Lock()

    def work(number):
        names = [f"{number % 4}", f"{(number + 1) % 4}"]
        for _ in range(50):
            with recent_writes.creating(names if number % 2 else names[::-1]):
                with lock:
                    clashes.extend(here & set(names))
                    here.update(names)
                time.sleep(0)
                with lock:
                    here.difference_update(names)

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)
    assert not any(worker.is_alive() for worker in workers)
    assert clashes == []
