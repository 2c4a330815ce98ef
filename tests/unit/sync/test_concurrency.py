"""Several studies at once: never two of one patient, fewer while the server throttles, small ones in one transaction."""

import threading
import time
from dataclasses import replace

import pytest

from shared.errors import FeedError, FhirRefusedError, ThrottledError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.patients import Patients
from shared.model.change_feed import Action, State
from shared.model.outcome import Outcome
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.merge.resource_cache import WEIGHT_OF_ITSELF, ResourceCache
from shared.sync.queue.concurrency import REST, ConcurrencyLimit, GroupRun, WorkerPool
from shared.sync.queue.pending import MAX_ENTRIES, MAX_STUDIES, MIN_STUDIES, PendingStudies
from shared.sync.read.plan import Study
from tests.fakes import FakeFeed, FakeFhir, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=10_000)


def study(number, patient="P-1", entries=1):
    return Study([entry(number * 1000 + n, study=f"1.{number}", instance=f"1.{number}.{n}", t00100020=patient) for n in range(1, entries + 1)])  # fmt: skip


def pending_of(studies):
    return PendingStudies(studies, Patients(OPTIONS.mapping))


def numbers(group):
    return [int(one.entries[0].study_instance_uid.split(".")[1]) for one in group]


def test_studies_of_one_patient_go_one_after_the_other():
    """The second is free once the first has been tried; others are free at once. What is taken over is left no more."""
    pending = pending_of([study(1, "A"), study(2, "A"), study(3, "B"), study(4, "A")])
    first = pending.next_group()
    assert numbers(first) == [1, 3]
    assert pending.next_group() == []
    pending.attempted(first[0])
    assert numbers(pending.next_group()) == [2]
    assert numbers(pending.remaining) == [1, 2, 3, 4]
    pending.remove(first[:1])
    assert numbers(pending.remaining) == [2, 3, 4]


def test_a_mixed_study_holds_the_workers_of_all_its_patients():
    """It waits for both, and both wait for it; what comes behind it does not overtake it."""
    mixed = Study([*study(2, "A").entries, *study(2, "B").entries])
    pending = pending_of([study(1, "A"), mixed, study(3, "B"), study(4, "C"), study(5, "A")])
    first, other = pending.next_group()
    assert numbers([first, other]) == [1, 4]
    pending.attempted(other)
    assert pending.next_group() == []
    pending.attempted(first)
    assert pending.next_group() == [mixed]
    assert pending.next_group() == []
    pending.attempted(mixed)
    assert sorted(numbers(pending.next_group())) == [3, 5]


def test_a_patient_is_who_the_mapping_says():
    """Padding and, where it is not used, the issuer make no other patient; what names none stands for itself."""
    same = [study(1, "A"), study(2, "A "), Study([entry(3, study="1.3", t00100020="A", t00100021="I")])]
    nobody = [Study([], whole=("1.4", "p")), Study([entry(5, Action.DELETE, study="1.5", state=State.DELETED)])]
    assert pending_of([*same, *nobody]).next_group() == [same[0], *nobody]
    assert len(PendingStudies(same, Patients(replace(OPTIONS.mapping, use_issuer=True))).next_group()) == 2


@pytest.mark.parametrize(
    ("entries", "sizes"),
    [
        ([1] * (MAX_STUDIES + 1), [MAX_STUDIES, 1]),
        ([MAX_ENTRIES, 1], [1, 1]),
        ([MAX_ENTRIES + 500, 1], [1, 1]),
        ([MAX_ENTRIES - 1, 1, 1], [2, 1]),
    ],
)
def test_a_group_is_bounded(entries, sizes):
    """By studies and by entries; a large study goes alone."""
    pending = pending_of([study(n, f"P-{n}", count) for n, count in enumerate(entries, 1)])
    assert [len(pending.next_group()) for _ in sizes] == sizes
    assert pending.next_group() == []


@pytest.mark.parametrize(
    ("studies", "workers", "first"),
    [(1_000, 8, MAX_STUDIES), (160, 8, 20), (40, 8, MIN_STUDIES), (5, 8, 5), (40, 1, 40), (45, 2, 22)],
)
def test_workers_share_what_is_left(studies, workers, first):
    """No worker idles while another works on a group that two could share, unless the group would be small."""
    pending = pending_of([study(n, f"P-{n}") for n in range(1, studies + 1)])
    assert len(pending.next_group(workers)) == first


class Busy(FakeFhir):
    """Takes its time, and sees who is there at once."""

    def __init__(self):
        super().__init__()
        self.lock, self.here, self.most, self.clashes = threading.RLock(), [], 0, 0

    def transact(self, bundle):
        said = {one["resource"]["identifier"][0]["value"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient"}  # fmt: skip
        with self.lock:
            self.clashes += any(said & one for one in self.here)
            self.here.append(said)
            self.most = max(self.most, len(self.here))
        time.sleep(0.1)
        with self.lock:
            self.here.remove(said)
            return super().transact(bundle)

    def search(self, resource_type, query):
        with self.lock:
            return super().search(resource_type, query)

    def search_many(self, searches):
        return [self.search(*one) for one in searches]


def batch(count, patients, per_study=MAX_ENTRIES):
    """Studies large enough to go alone, of a few patients."""
    studies = [study(n, f"P-{n % patients}", per_study) for n in range(1, count + 1)]
    return [one for each in studies for one in each.entries]


def test_workers_are_used_and_patients_kept_apart():
    """As many as the limit allows, no more; and what comes out is what one worker would have made."""
    fhir = Busy()
    fakes = ports(batch(12, 5, 201), fhir=fhir, concurrency=ConcurrencyLimit(4))
    result = run_batch(fakes, OPTIONS)
    assert (result.outcome, result.studies, result.written) == (Outcome.SYNCED, 12, 12 * 201)
    assert 2 <= fhir.most <= 4
    assert fhir.clashes == 0
    held = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert len(held) == 12
    assert len([one for one in fhir.resources if one["resourceType"] == "Patient"]) == 5


def test_throttling_lowers_the_limit_and_success_raises_it():
    """Halved at each 429, one more worker once as many groups went well as there are workers, within 1 and the setting."""
    limit = ConcurrencyLimit(8)
    seen = [limit.workers]
    for _ in range(4):
        limit.throttled()
        seen.append(limit.workers)
    assert seen == [8, 4, 2, 1, 1]
    seen = []
    for _ in range(40):
        limit.went_well(GroupRun(100, 1.0, limit.workers, limit.workers), 0.0)
        seen.append(limit.workers)
    assert (seen[:7], seen[-1]) == ([2, 2, 2, 3, 3, 3, 4], 8)


def seconds_far_away(workers):
    """Each answer takes its time, however many are asked for."""
    return 4.0


def seconds_at_its_limit(workers):
    """What is asked for at once is done one after the other."""
    return 0.5 * workers


def seconds_for_sixteen(workers):
    return 4.0 * max(1.0, workers / 16)


@pytest.mark.parametrize(
    ("most", "seconds", "seen"),
    [
        (64, seconds_far_away, [8, 16, 32, 64]),
        (40, seconds_far_away, [8, 16, 32, 40]),
        (8, seconds_far_away, [8]),
        (3, seconds_far_away, [3]),
        (64, seconds_at_its_limit, [8, 16, 8]),
        (64, seconds_for_sixteen, [8, 16, 32, 16]),
    ],
)
def test_there_are_as_many_workers_as_make_the_sync_faster(most, seconds, seen):
    """Twice as many are tried once all had a turn, and stay where more studies are done in a second."""
    limit = ConcurrencyLimit(most)
    assert workers_of(limit, 300, seconds)[: len(seen)] == seen
    assert workers_of(limit, 50, seconds) == [seen[-1]]


def workers_of(limit, groups, seconds):
    """How many workers there are, each time that it is another number."""
    found = [limit.workers]
    for _ in range(groups):
        limit.went_well(GroupRun(100, seconds(limit.workers), limit.workers, limit.workers), 0.0)
        found += [limit.workers] if limit.workers != found[-1] else []
    return found


def test_a_server_that_warms_up_is_waited_for():
    """It is compiled while it runs: that it becomes faster is not for the workers."""
    limit, seconds = ConcurrencyLimit(64), [16.0, 8.0, 4.0]
    for one in seconds:
        workers_of(limit, 8, lambda _, one=one: one)
    assert limit.workers == 8
    assert workers_of(limit, 150, seconds_at_its_limit) == [8, 16, 8]


@pytest.mark.parametrize(
    ("quickest", "runs", "workers"),
    [
        (1.0, 8, 16),
        (1.0, 8 + 16, 32),
        (0.5, 8, 8),  # a turn of four seconds is not spent on the way to a server that answers in half a second
        (0.5, 8 + 8, 16),
        (0.0, 8, 8),
    ],
)
def test_a_server_that_is_far_away_is_known_by_its_quickest_answer(quickest, runs, workers):
    """It keeps no processor busy: more workers are tried after one turn."""
    limit = ConcurrencyLimit(64)
    for _ in range(runs):
        limit.went_well(GroupRun(100, 4.0 if limit.workers == 8 else 3.9, limit.workers, limit.workers), quickest)
    assert limit.workers == workers


def test_more_workers_are_tried_again_after_a_rest():
    """The server may have become larger."""
    limit = ConcurrencyLimit(64)
    workers_of(limit, 100, seconds_at_its_limit)
    assert workers_of(limit, 8 * REST, seconds_far_away)[:3] == [8, 16, 32]


def test_workers_that_idle_prove_nothing():
    """Nor does a group that began when there were fewer workers."""
    limit = ConcurrencyLimit(64)
    for _ in range(100):
        limit.went_well(GroupRun(100, 4.0, 5, 8), 0.0)
        limit.went_well(GroupRun(100, 4.0, 8, 7), 0.0)
    assert limit.workers == 8


def test_workers_that_proved_themselves_come_back_one_by_one_after_429():
    """And no more of them are tried for a while."""
    limit = ConcurrencyLimit(64)
    assert workers_of(limit, 8 + 8 + 16, seconds_far_away) == [8, 16, 32]
    limit.throttled()
    assert limit.workers == 16, "32 had not proved themselves"
    limit.throttled()
    assert workers_of(limit, 100, seconds_far_away) == list(range(8, 17))
    assert workers_of(limit, 16 * REST, seconds_far_away) == [16, 32]


def test_a_worker_whose_group_has_ended_is_free_at_once():
    """It does not wait for the others."""
    go_on = threading.Event()
    with WorkerPool(ConcurrencyLimit(2), lambda group: group == "quick" or go_on.wait(5)) as pool:
        pool.start("slow")
        pool.start("quick")
        ended = [group for group, *_ in pool.ended()]
        go_on.set()
    assert ended == ["quick"]


def small(count, **tags):
    return [entry(n, study=f"1.{n}", instance=f"1.{n}.1", t00100020=f"P-{n}", **tags) for n in range(1, count + 1)]


class Counting(FakeFhir):
    """How many studies each transaction had, refused ones too."""

    def __init__(self, *faults):
        super().__init__(faults=list(faults))
        self.sizes = []

    def transact(self, bundle):
        kinds = [one["resource"]["resourceType"] for one in bundle["entry"]]
        self.sizes += [kinds.count("ImagingStudy")] if "ImagingStudy" in kinds else []
        return super().transact(bundle)


def test_a_throttled_group_is_tried_again_alone():
    """It is refused together, does not fall apart into more requests at once, and in the end all is written."""
    fakes = ports(small(4), concurrency=ConcurrencyLimit(8), fhir=Counting(ThrottledError("status 429", 1.0)))
    result = run_batch(fakes, OPTIONS)
    assert (result.studies, result.written, fakes.concurrency.workers) == (4, 4, 4)
    assert fakes.fhir.sizes == [4, 1, 1, 1, 1]


def test_a_group_that_is_done_raises_the_limit_and_one_that_fails_does_not():
    """After a 429 of before; a fault that is no throttling leaves it."""
    for faults, workers in (([], 2), ([TransientError("status 503")], 1), ([ThrottledError("status 429")], 1)):
        limit = ConcurrencyLimit(2)
        limit.throttled()
        result = run_batch(ports(small(1), concurrency=limit, fhir=Counting(*faults)), OPTIONS)
        assert (result.written, limit.workers) == (1, workers)


def test_small_studies_share_a_transaction():
    """20 studies, one request for all that FHIR holds of them, one transaction, and one before it for the Endpoint."""
    fakes = ports(small(20))
    result = run_batch(fakes, OPTIONS)
    assert (result.written, result.fhir_calls) == (20, 3)
    assert len(fakes.fhir.bundles) == 1
    assert len([one for one in fakes.fhir.resources if one["resourceType"] == "Endpoint"]) == 1


def test_an_endpoint_that_another_made_meanwhile_is_found():
    """That there is none was read for all; once it proves untrue, it is asked for again: one Endpoint, all linked to it."""
    other = ports(small(1))
    run_batch(other, OPTIONS)
    (endpoint,) = [one for one in other.fhir.resources if one["resourceType"] == "Endpoint"]

    class Raced(FakeFhir):
        def transact(self, bundle):
            if not self.resources:
                self.resources.append(endpoint)
            return super().transact(bundle)

    fakes = ports(small(20), fhir=Raced())
    assert run_batch(fakes, OPTIONS).written == 20
    assert [one for one in fakes.fhir.resources if one["resourceType"] == "Endpoint"] == [endpoint]
    studies = [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert [one["endpoint"] for one in studies] == [[{"reference": f"Endpoint/{endpoint['id']}"}]] * 20


def test_larger_studies_share_fewer():
    """20 studies of 25 instances: groups of at most 200 entries, two calls each, one for the Endpoint. docs/deploy.md reckons with it."""
    held = [entry(n, study=f"1.{n % 20}", instance=f"1.{n % 20}.{n}", t00100020=f"P-{n % 20}") for n in range(1, 501)]
    assert run_batch(ports(held), OPTIONS).fhir_calls == 7


class Picky(FakeFhir):
    def transact(self, bundle):
        if "1.7.1" in repr(bundle):
            raise FhirRefusedError("status 422")
        return super().transact(bundle)


@pytest.mark.parametrize(
    ("fhir", "bad"),
    [(Picky, [7]), (lambda: FakeFhir(faults=[TransientError("status 503")]), [])],
    ids=["refused", "failed"],
)
def test_a_group_that_fails_falls_apart(fhir, bad):
    """One bad study harms itself alone."""
    fakes = ports(small(20), fhir=fhir())
    result = run_batch(fakes, OPTIONS)
    assert [row.sequence for row in fakes.errors.rows] == bad
    assert (result.studies, result.written) == (20, 20 - len(bad))


def test_two_names_of_one_patient_do_not_clash():
    """Raw values that differ in their padding are one Patient: their studies are written one by one."""
    fakes = ports([entry(1, study="1.1", instance="1.1.1"), entry(2, study="1.2", instance="1.2.1", t00100020="P-1 ", t00100040="F")])  # fmt: skip
    assert run_batch(fakes, OPTIONS).written == 2
    (patient,) = [one for one in fakes.fhir.resources if one["resourceType"] == "Patient"]
    assert patient["gender"] == "female"


def test_what_was_written_is_not_read_again():
    """If-Match guards it. A search for the Patient alone is left, and the transaction."""
    fakes = ports(small(1))
    run_batch(fakes, OPTIONS)
    fakes.feed.held = [*fakes.feed.held, entry(2, study="1.1", instance="1.1.2", t00100020="P-1")]
    assert run_batch(fakes, OPTIONS).fhir_calls == 2


def test_what_somebody_else_wrote_meanwhile_is_read():
    """412: the remembered version is forgotten, and both their parts are there."""
    fakes = ports(small(1))
    run_batch(fakes, OPTIONS)
    (held,) = [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    fakes.fhir.resources.remove(held)
    fakes.fhir.resources.append({**held, "note": [{"text": "theirs"}], "meta": {**held["meta"], "versionId": "2"}})
    fakes.feed.held = [*fakes.feed.held, entry(2, study="1.1", instance="1.1.2", t00100020="P-1")]
    assert run_batch(fakes, OPTIONS).written == 1
    (merged,) = [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert (merged["note"], merged["numberOfInstances"]) == ([{"text": "theirs"}], 2)


def test_that_there_is_nothing_to_write_is_seen_not_remembered():
    """FHIR was restored from an older backup; the operator has the feed read again."""
    fakes = ports(small(1))
    run_batch(fakes, OPTIONS)
    fakes.fhir.resources = [one for one in fakes.fhir.resources if one["resourceType"] != "ImagingStudy"]
    fakes.watermarks.rewind()
    assert run_batch(fakes, OPTIONS).written == 1
    assert [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]


def test_what_is_remembered_is_bounded():
    """By instances, and what a resource weighs itself; what was used longest ago goes first."""
    known = ResourceCache(max_weight=2 * (WEIGHT_OF_ITSELF + 3))
    listed = {"series": [{"instance": [{}] * 3}]}
    for name in "abc":
        known.put(name, dict(listed))
    assert [known.get(name) is not None for name in "abc"] == [False, True, True]
    known.get("b")
    known.put("d", dict(listed))
    assert [known.get(name) is not None for name in "bcd"] == [True, False, True]
    known.put("e", {"series": [{"instance": [{}] * 100}]})
    assert known.get("e") is None


@pytest.mark.parametrize(("most", "slices"), [(1, 1), (3, 3), (0, 10)])
def test_a_batch_may_have_several_slices(most, slices):
    """So many, or until the feed is caught up; its pages are read ahead."""
    fakes = ports(feed=FakeFeed(small(100), page=10))
    result = run_batch(fakes, replace(OPTIONS, size=10, max_slices=most))
    assert (result.entries, result.watermark.sequence) == (slices * 10, slices * 10)


def test_a_fault_after_the_first_slice_leaves_what_is_done():
    """It is told by the next tick, which meets it first."""

    class Breaking(FakeFeed):
        def pages(self, after, at_once=1):
            for page in super().pages(after):
                if page.through.sequence > 20:
                    raise FeedError("entry 21: torn")
                yield page

    fakes = ports(feed=Breaking(small(100), page=10))
    result = run_batch(fakes, replace(OPTIONS, size=10, max_slices=0))
    assert (result.entries, result.watermark.sequence) == (20, 20)
    with pytest.raises(FeedError):
        run_batch(fakes, replace(OPTIONS, size=10, max_slices=0))
