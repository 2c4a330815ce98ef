"""One StudyInstanceUID in two data partitions is two ImagingStudies, though both have an identifier `urn:dicom:uid`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations
from uuid import uuid4

import pytest

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.errors import TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import FakeArchive, ports
from tests.fakes import entry as feed_entry

PARTITIONS = ("Microsoft.Default", "north", "south")
TRIES = 6
"""Of a study whose transaction conflicts with another's, or whose answer is lost."""


class Client(FhirClient):
    """`lost`: so many answers to transactions are lost, of which the server has done all. `sent` counts them."""

    def __init__(self, url, lost=0):
        super().__init__(HttpService("FHIR server", url))
        self.lost, self.sent = lost, 0

    def transact(self, bundle):
        answers = super().transact(bundle)
        self.sent += 1
        is_study = any(one["request"]["url"].startswith("ImagingStudy") for one in bundle["entry"])
        if self.lost and is_study:
            self.lost -= 1
            raise TransientError("the connection broke")
        return answers


class World:
    """A study of a UID of its own in each partition, of one instance each. A host is a process of its own."""

    def __init__(self, url):
        self.url, self.uid = url, f"2.25.{uuid4().int}"
        self.options = MappingOptions(f"https://{uuid4().hex}.example.org")
        self.entries = {name: self.entry(number, name) for number, name in enumerate(PARTITIONS, 1)}

    def entry(self, number, partition):
        uids = {"study": self.uid, "series": f"{self.uid}.1", "instance": f"{self.uid}.1.{number}"}
        made = feed_entry(number, **uids, t00081030=partition, t00100020=f"P-{self.uid[-20:]}-{partition}")
        return replace(made, partition=partition)

    def sync(self, *partitions, lost=0, client=None):
        client = client or Client(self.url, lost)
        archive = FakeArchive({self.uid: list(self.entries.values())})
        fakes = ports(fhir=client, archive=archive)
        for name in partitions:
            tries = (StudySync(fakes, self.options).run_all([Study([self.entries[name]])]) for _ in range(TRIES))
            assert any(not isinstance(one, Exception) for (one,) in tries)
        return client

    def held(self):
        """Partition -> the instances of each of its ImagingStudies."""
        found = Client(self.url).search("ImagingStudy", f"identifier=urn:dicom:uid%7Curn:oid:{self.uid}")
        assert all(one["status"] == "available" for one in found)
        return sorted(
            (one["description"], [i["uid"] for series in one["series"] for i in series["instance"]]) for one in found
        )

    def expected(self, *partitions):
        return sorted((name, [self.entries[name].sop_instance_uid]) for name in partitions)


@pytest.mark.parametrize("order", list(permutations(PARTITIONS)), ids=" ".join)
@pytest.mark.parametrize("lost", [0, 1], ids=["", "the first answer lost"])
def test_stored_one_after_the_other(fhir_url, order, lost):
    """In each order, each by a host of its own: each partition has its study, and a second run writes nothing."""
    world = World(fhir_url)
    for name in order:
        world.sync(name, lost=lost)
    assert world.held() == world.expected(*order)
    assert world.sync(*order, *reversed(order)).sent == 0


def test_stored_at_once(fhir_url):
    """By hosts that know nothing of each other."""
    for _ in range(3):
        world = World(fhir_url)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(world.sync, PARTITIONS))
        assert world.held() == world.expected(*PARTITIONS)
        assert world.sync(*PARTITIONS).sent == 0


def test_the_default_partitions_create_waits_for_no_search(fhir_url):
    """Its host has searched before another partition's study was there: what its create then names is another's."""
    world = World(fhir_url)
    client = Client(fhir_url)
    search_many, is_first = client.search_many, [True]

    def slow(searches):
        found = search_many(searches)
        if is_first.pop() if is_first else False:
            world.sync("north")
        return found

    client.search_many = slow
    world.sync("Microsoft.Default", client=client)
    assert not is_first
    assert world.held() == world.expected("Microsoft.Default", "north")


def test_another_instance_finds_its_own(fhir_url):
    """What follows goes to the study of the partition that it is of."""
    world = World(fhir_url)
    world.sync("north", "Microsoft.Default")
    world.entries["more"] = more = world.entry(4, "Microsoft.Default")
    world.sync("more")
    uids = [world.entries["Microsoft.Default"].sop_instance_uid, more.sop_instance_uid]
    assert world.held() == sorted([("Microsoft.Default", uids), *world.expected("north")])
