"""The side of a series (PS3.3 C.7.3.1, C.7.6.1): Laterality, else ImageLaterality while all of its instances say the same.

A step is an instance and what it says: `1R` of itself, `1=R` of its series, `1L=R` both, `1U` that it has no side, `1`
nothing; `-1` is its delete, `+1` a create of what is there already, as a replay has it. What FHIR says follows from what the archive holds then, whatever came before.
"""

from dataclasses import replace
from itertools import permutations, product

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import STUDY, FakeArchive, FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")
LATERALITY, IMAGE_LATERALITY = "t00200060", "t00200062"
RIGHT = {"system": "http://snomed.info/sct", "code": "24028007", "display": "Right"}
LEFT = {"system": "http://snomed.info/sct", "code": "7771000", "display": "Left"}
BOTH = {"system": "http://snomed.info/sct", "code": "51440002", "display": "Bilateral"}
CODES = {"R": RIGHT, "L": LEFT, "B": BOTH, "-": None}


class Archive(FakeArchive):
    """Counts what is asked of it."""

    calls = 0

    def instances(self, *given):
        self.calls += 1
        return super().instances(*given)


class World:
    """What the archive holds, by instance; FHIR follows batch by batch."""

    def __init__(self, options=OPTIONS, most_listed=None):
        self.fhir, self.archive = FakeFhir(), Archive()
        self.options = options if most_listed is None else replace(options, max_instances=most_listed)
        self.held = {}
        self._last = 0

    def batch(self, *steps):
        entries = []
        for step in steps:
            self._last += 1
            uid = f"1.2.9.{step.strip('-+')[0]}"
            if step.startswith("-"):
                del self.held[uid]
                entries.append(entry(self._last, Action.DELETE, instance=uid, state=State.DELETED))
            else:
                action = Action.UPDATE if uid in self.held and "+" not in step else Action.CREATE
                self.held[uid] = entry(self._last, action, instance=uid, **said(step.strip("+")[1:]))
                entries.append(self.held[uid])
        return self.run(Study(entries))

    def run(self, study):
        self.archive.studies = {STUDY: [replace(one, sequence=0) for one in self.held.values()]}
        (outcome,) = StudySync(ports(fhir=self.fhir, archive=self.archive), self.options).run_all([study])
        return outcome

    def again(self):
        """All that is held, as a replay gives it."""
        return self.run(Study([replace(one, action=Action.CREATE) for one in self.held.values()]))

    @property
    def series(self):
        (study,) = [one for one in self.fhir.resources if one["resourceType"] == "ImagingStudy"]
        return study["series"][0]

    @property
    def side(self):
        return self.series.get("laterality")


def said(word):
    of_image, _, of_series = word.partition("=")
    return {tag: side for tag, side in ((IMAGE_LATERALITY, of_image), (LATERALITY, of_series)) if side}


LIVES = [
    ("all say the same", "1R 2R 3R", "R R R"),
    ("one says another: it goes, and does not come back", "1R 2L 3R 4R", "R - - -"),
    ("who said another is deleted, or is corrected", "1R 2L -2 2L 2R", "R - R - R"),
    ("the last that said the same", "1R 2L -1", "R - L"),
    ("all are corrected, one by one", "1R 2R 1L 2L", "R R - L"),
    ("both sides in one image are a side", "1B 2B 3R", "B B -"),
    ("what is unpaired has no side, and is not the others'", "1U 2U 3R -1 -2", "- - - - R"),
    ("who says nothing does not agree", "1R 2 3R -2", "R - - R"),
    ("nor do those that come after one who says nothing", "1 2R 3R -1", "- - - R"),
    ("the series' own word has the word", "1L 2=R 3L -2", "L R R L"),
    ("the series' own word over its own images'", "1L 2L=R -2", "L R L"),
    ("the series' own word was the only one", "1=R 2 +1R", "R R -"),
    ("a word of its own was another's", "1R 2R +1L +2L", "R R - L"),
    ("the series' own word while one instance says it", "1=R 2=R 3 4L", "R R R R"),
    ("the series' own word goes, and the instances' stands", "1=R 2R 1R", "R R R"),
    ("the series' own word goes, and one says nothing", "1=R 2 1R 2R", "R R - R"),
    ("an invalid side is none", "1R 2X", "R -"),
]


@pytest.mark.parametrize(("steps", "sides"), [row[1:] for row in LIVES], ids=[row[0] for row in LIVES])
def test_the_life_of_a_series(steps, sides):
    """After each step as it is to be, as a fresh sync has it; run again nothing is written."""
    world = World()
    for step, side in zip(steps.split(), sides.split(), strict=True):
        world.batch(step)
        assert world.side == CODES[side], step
        written = len(world.fhir.bundles)
        world.again()
        assert len(world.fhir.bundles) == written, step
        fresh = World()
        fresh.held = world.held
        fresh.again()
        assert fresh.side == world.side, step


@pytest.mark.parametrize("words", list(product(["", "R", "L", "U", "=R"], repeat=3)), ids=" ".join)
def test_the_order_and_the_cut_do_not_matter(words):
    """Three instances in each order, one batch each, two and one, or all at once."""
    steps = [f"{number}{word}" for number, word in enumerate(words, 1)]
    own, images = {one for one in words if "=" in one}, {*words}
    side = RIGHT if own or images == {"R"} else LEFT if images == {"L"} else None
    for order in permutations(steps):
        for batches in ([order], [order[:1], order[1:]], [order[:2], order[2:]], [[one] for one in order]):
            world = World()
            for batch in batches:
                world.batch(*batch)
            assert world.side == side, batches


def test_what_is_plain_reads_nothing():
    """Series that name no side, one that agrees with what FHIR says: the archive is asked of neither."""
    for word in ("", "R", "=R"):
        world = World()
        world.batch(f"1{word}", f"2{word}")
        world.batch(f"3{word}")
        world.batch(f"4{word}")
        assert world.archive.calls == 0, word


def test_each_series_has_its_own():
    """A side of one is no word on another, which is not read."""
    world = World()
    world.batch("1R", "2R")
    left = [entry(n, series="1.2.8", instance=f"1.2.8.{n}", **said("L")) for n in (11, 12)]
    world.run(Study(left))
    (study,) = [one for one in world.fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert [one["laterality"] for one in study["series"]] == [RIGHT, LEFT]
    assert world.archive.calls == 0


def test_what_another_wrote_stays():
    """Until the instances agree: what they say then is said, as every element of one value is."""
    world, theirs = World(), {"display": "theirs"}
    world.batch("1L", "2R")
    world.series["laterality"] = theirs
    for step in ("3", "4L", "-3"):
        world.batch(step)
        assert world.side == theirs, step
        assert (world.archive.calls > 0) == (step != "3"), "who says nothing takes nothing of theirs"
    world.batch("-2")
    assert world.side == LEFT


def test_a_series_of_an_older_release():
    """It says no side though all instances name one: the next of them has it read and said."""
    world = World()
    world.batch("1R", "2R")
    del world.series["laterality"]
    world.batch("3R")
    assert world.side == RIGHT


def test_a_series_whose_instances_are_counted_only():
    """It is not read for a side: what is not shown any more goes, and comes back when it is rebuilt."""
    world = World(most_listed=2)
    world.batch("1R", "2R", "3R")
    assert (world.side, "instance" in world.series) == (RIGHT, False)
    world.archive.calls = 0
    for step, side in (("4R", RIGHT), ("5L", None), ("6R", None)):
        world.batch(step)
        assert world.side == side
    assert world.archive.calls == 3, "it is counted once a batch"


def test_without_the_rows_that_are_ours():
    """`DicomCast__Features__ExtendedMapping` turns it off."""
    world = World(replace(OPTIONS, extended=False))
    world.batch("1R", "2R")
    assert world.side is None
