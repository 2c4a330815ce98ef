"""FHIR says what DICOM holds now, whatever the order, the batches and the faults: random lives of an archive.

Each theme is the machine with some of its rules, so that what is rare by chance is common in one of them. `make test`
runs the same lives each time, `make test-model` others, for long. What fails is told by its steps, and by what they were
in DICOM's words. MODEL_SEED and MODEL_SECONDS set the luck and the time of each theme, MODEL_RULES and MODEL_PINS a theme
of one's own, MODEL_CHECKS what is checked; MODEL_ALL=1 switches on what is not held yet.
"""

import os
import time

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import RULES, Machine
from tests.model.world import CHECKS

NOT_YET_HELD: frozenset[str] = frozenset()
"""Rules and checks that the code does not hold yet."""
SECONDS = float(os.environ.get("MODEL_SECONDS", "0"))
"""After these no other `LIVES` are begun; without any it is the same lives on every machine."""
LIVES = 20
SEED = int(os.environ.get("MODEL_SEED", "1"))
_CHECKS = frozenset(os.environ.get("MODEL_CHECKS", " ".join(CHECKS)).split())
_ALL = bool(os.environ.get("MODEL_ALL"))

_USUAL = "store delete empty restart partitions"
THEMES = {
    "moves": (f"{_USUAL} twice move", {}),
    "corrections": (f"{_USUAL} restudy reseries again update", {}),
    "renumbered": (f"{_USUAL} renumber rename move update", {}),
    "doses": (f"{_USUAL} dose twice move again restudy update", {}),
    "disagreeing": (f"{_USUAL} disagree update again", {}),
    "others": (f"{_USUAL} others equal update restudy", {}),
    "patients": ("store delete restudy update", {}),
    "lanes": ("store crowd", {"lanes": 2}),
    "faults": (f"{_USUAL} faults sick refused invalid move update", {}),
    "replays": ("store replay cancel sick faults delete empty invalid", {}),
    "holes": (f"{_USUAL} reserve sick faults restudy", {"version": "v1"}),
    "order": (f"{_USUAL} reserve swap sick faults restudy", {"version": "v2"}),
    "settling": ("grow delete restart faults reserve update rename renumber", {"settle": 30}),
    "everything": (" ".join(sorted(RULES)), {}),
}
if chosen := os.environ.get("MODEL_RULES"):
    given = [one.split("=") for one in os.environ.get("MODEL_PINS", "").split()]
    THEMES = {"chosen": (chosen, {name: int(value) if value.isdigit() else value for name, value in given})}


HOW = settings(
    max_examples=LIVES,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
    print_blob=False,
    report_multiple_bugs=False,
)
settings.register_profile("model", HOW)


@pytest.fixture(autouse=True)
def _same_luck(monkeypatch):
    """Hypothesis also draws numbers that it finds in the project's loaded modules: those differ with what ran before."""
    monkeypatch.setattr(providers, "_get_local_constants", providers.Constants)
    monkeypatch.setattr(providers, "CONSTANTS_CACHE", LRUCache(1024))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("theme", THEMES)
def test_fhir_says_what_dicom_holds(theme):
    rules, pins = THEMES[theme]
    off = frozenset() if _ALL else NOT_YET_HELD
    members = {"on": frozenset(rules.split()) - off, "checks": _CHECKS - off, "pins": pins}
    machine = type(theme.title(), (Machine,), members)
    began, chunk = time.monotonic(), 0
    while chunk == 0 or time.monotonic() - began < SECONDS:
        run_state_machine_as_test(seed(SEED * 1_000_000 + chunk)(machine), settings=HOW)
        chunk += 1
