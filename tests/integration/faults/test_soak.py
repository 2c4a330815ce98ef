"""A hostile server of every kind in turn, beside healthy studies, on the real parts: `make soak SECONDS=600`."""

import json
import os
import random
import time
from dataclasses import replace

import pytest

from shared.settings.timeouts import TICK
from tests.integration.faults.hostile import HOSTILITIES, HostileProxy
from tests.integration.faults.proxy import serving
from tests.integration.manners.proxy import mannered_proxy
from tests.integration.manners.world import MannersWorld

SECONDS = float(os.environ.get("SOAK_SECONDS", "3"))
pytestmark = pytest.mark.timeout(SECONDS + 120)
TICKS = 2
PATIENCE, LEAST = (1, 1), 2**20
"""Seconds to connect and between bytes, and bytes of an answer, while a server answers slowly or without end."""
SLOW_FROM = 60
"""Seconds from which on a run has time for those that are slow."""
FIRST = 1000  # so that no study's UID begins as another's
SETTINGS = {"DicomCast__Features__IgnoreJsonParsingErrors": "true", "DicomCast__GapGracePeriod": "00:00:00"}


class Soak:
    """One hostility after the other; `said` has of each how many ticks the healthy studies took at most."""

    def __init__(self, world, chance):
        self.world, self.chance = world, chance
        self.hostility, self.word = None, ""
        self.next = FIRST
        self.healthy: list[int] = []
        self.said: dict[str, int] = {}
        world.fhir.manners[:] = [self.manner]

    def manner(self, request, pass_on):
        hostile = self.hostility
        return hostile.fhir(request, pass_on, self.word) if hostile and hostile.fhir else pass_on(request)

    def turn(self, hostility):
        bad = self.next
        good = [bad + 1, bad + 2]
        self.next += 3
        world = self.world
        if hostility.after_update:
            world.store_one(bad, 1)
            world.app.tick()
        self.word = world.study(bad)
        self.hostility = hostility
        self.wait(*((PATIENCE, LEAST) if hostility.is_slow else (TICK.http, TICK.most_bytes_of_fhir)))
        world.feed.bad, world.feed.hostility = world.study(bad), hostility.dicom
        if hostility.after_update:
            world.update(bad, StudyDescription=f"changed in turn {bad}")
        new = good if hostility.after_update else [bad, *good]
        self.chance.shuffle(new)
        for number in new:
            world.store_one(number, 1)
        ticks = 0
        while ticks < TICKS:
            ticks += 1
            world.app.tick()
            if hostility.is_for_all:
                self.at_peace()
            if all(world.studies(number) for number in good):
                break
        self.at_peace()
        missing = [number for number in good if not world.studies(number)]
        assert not missing, f"{hostility.name}: {len(missing)} healthy studies are not in FHIR after {TICKS} ticks"
        self.said[hostility.name] = max(ticks, self.said.get(hostility.name, 0))
        self.healthy += good

    def wait(self, timeouts, most_bytes):
        """For an answer, so long and so much; the app's own patience is too much for a turn."""
        for service in (self.world.app.ports.fhir.service, self.world.app.ports.feed.service):
            service._timeouts, service._most_bytes = timeouts, most_bytes

    def at_peace(self):
        self.hostility, self.world.feed.hostility = None, None


@pytest.fixture
def soak(dicom, fhir_url, storage):
    with (
        mannered_proxy(fhir_url.removesuffix("/fhir"), []) as fhir,
        serving(HostileProxy(dicom.url)) as feed,
    ):
        world = MannersWorld(dicom, feed, fhir, storage, SETTINGS)
        world.app = replace(world.app, ports=replace(world.app.ports, sleep=lambda seconds: None))
        yield Soak(world, random.Random(int(os.environ.get("SEED", "1"))))


def test_healthy_studies_are_in_fhir_within_two_ticks(soak, caplog):
    """Whatever the servers answer about others, or to everything for a tick; in the end each is there once."""
    end = time.monotonic() + SECONDS
    turns = 0
    while time.monotonic() < end:
        kinds = [kind for kind in HOSTILITIES if not kind.is_slow or SECONDS >= SLOW_FROM]
        soak.chance.shuffle(kinds)
        for kind in kinds:
            soak.turn(kind)
            caplog.clear()
            turns += 1
            if time.monotonic() > end:
                break
    assert all(len(soak.world.studies(number)) == 1 for number in soak.healthy)
    told = {"turns": turns, "kinds": len(soak.said), "healthy studies": len(soak.healthy)}
    told["within one tick"] = sum(ticks == 1 for ticks in soak.said.values())
    print(json.dumps(told))
