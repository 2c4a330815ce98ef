"""The rules: what may happen to an archive, to FHIR and to the app, in any order."""

import sys
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.model.failures import ErrorTable
from shared.model.options import PatientUpdatePolicy
from shared.model.replay import SequenceRange, StoredErrors, StudyRebuild, TimeRange
from tests.model.hosts import OF_PORT, Fault
from tests.model.oracle import ViolatedError, studies_of
from tests.model.vocabulary import DEFAULT, IMAGES, OTHER, REPORTS, STUDIES, UPDATED, VALUES, OfSeries, Place, Said
from tests.model.world import AGAIN, CHECKS, Setup, World

RULES = frozenset(
    [
        "store",
        "disagree",
        "again",
        "reseries",
        "restudy",
        "delete",
        "move",
        "update",
        "others",
        "equal",
        "reserve",
        "swap",
        "faults",
        "sick",
        "refused",
        "invalid",
        "replay",
        "cancel",
        "restart",
        "crowd",
        "grow",
        "partitions",
        "twice",
        "dose",
        "empty",
        "renumber",
        "rename",
    ]
)

saids = st.builds(Said, **{name: st.sampled_from(values) for name, values in VALUES.items()})
of_series = st.builds(
    OfSeries,
    description=st.sampled_from([None, "one", "two"]),
    performer=st.sampled_from([None, "Some^One", "An^Other"]),
    body_part=st.sampled_from([None, "CHEST", "HEAD", "head"]),
    side=st.sampled_from([None, None, None, "R"]),
    image_side=st.sampled_from([None, "R", "R", "L", "U"]),
    events=st.sampled_from([1, 2]),
)
studies = st.sampled_from(["S1", "S2"])
instances = st.sampled_from(["i", "j", "k", "dose"])
which_series = st.integers(0, 1)
at = st.integers(0, 7)
sizes = st.sampled_from([1000, 1, 2, 3, 5])
updates = st.lists(st.sampled_from(UPDATED), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from([one for one in VALUES[name] if one]) for name in names})
)
setups = st.builds(
    Setup,
    version=st.sampled_from(["v1", "v2"]),
    policy=st.sampled_from(PatientUpdatePolicy),
    use_issuer=st.sampled_from([False, False, True]),
    settle=st.sampled_from([0, 30, 30]),
    order=st.lists(st.integers(0, 1), min_size=1, max_size=6).map(tuple),
)
faults = st.sampled_from(list(OF_PORT)).flatmap(
    lambda port: st.builds(
        Fault,
        port=st.just(port),
        kind=st.sampled_from(OF_PORT[port]),
        at=st.integers(1, 6),
        times=st.sampled_from([1, 1, 5, 12]),
        after=st.booleans(),
    )
)


def switched(name):
    """A rule that a theme may leave out."""
    return precondition(lambda self: name in self.on)


class Machine(RuleBasedStateMachine):
    """`on` are its rules, `checks` what is checked, `pins` are what the setup is to be."""

    on, checks, pins = RULES, CHECKS, {}

    @initialize(setup=setups)
    def begin(self, setup):
        setup = replace(setup, **self.pins)
        self.world = World(setup, self.checks)
        self.archive = self.world.archive

    def teardown(self):
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._settle("sequences")
        finally:
            self.world.close()

    # The archive.

    @switched("store")
    @rule(study=studies, series=which_series, instance=instances, said=saids, of_series=of_series)
    def store(self, study, series, instance, said, of_series):
        """Says what its study says already, where there is one."""
        self._store(self._place(study, series, instance), said, of_series)

    @switched("partitions")
    @rule(study=studies, instance=instances, said=saids, of_series=of_series)
    def store_in_partition(self, study, instance, said, of_series):
        self._store(self._place(study, 0, instance, OTHER), said, of_series)

    @switched("disagree")
    @rule(study=studies, series=which_series, instance=instances, said=saids, of_series=of_series)
    def store_disagreeing(self, study, series, instance, said, of_series):
        place = self._place(study, series, instance)
        if not self._is_out(place):
            self._do(self.archive.store, place, said, of_series)

    @switched("disagree")
    @rule(at=at, instance=instances, side=st.sampled_from([None, "R", "L", "U"]))
    def store_another_side(self, at, instance, side):
        """Beside one of the same series, of which it says all the same but of itself."""
        if (beside := self._held(at)) is None or (instance == "dose") != (beside.instance == "dose"):
            return
        place = beside._replace(instance=instance)
        if not self._is_out(place):
            said, words = self.archive.held[beside]
            self._do(self.archive.store, place, said, replace(words, image_side=side))

    @switched("invalid")
    @rule(study=studies, series=which_series, instance=st.sampled_from(["i", "j", "k"]), said=saids)
    def store_invalid(self, study, series, instance, said):
        self._store(self._place(study, series, instance), said, OfSeries(invalid=True))

    @switched("again")
    @rule(at=at, of_series=of_series)
    def store_again(self, at, of_series):
        """Deleted and stored again: an instance that stands alone in its series with other tags."""
        if (place := self._held(at)) is None:
            return
        said, before = self.archive.held[place]
        alone = sum(one[:2] == place[:2] and one.partition == place.partition for one in self.archive.held) == 1
        self._do(self.archive.delete, place)
        self._do(self.archive.store, place, said, of_series if alone or "disagree" in self.on else before)

    @switched("reseries")
    @rule(at=at, of_series=of_series)
    def store_series_again(self, at, of_series):
        if (place := self._held(at)) is None:
            return
        places = [one for one in self.archive.held if one[:2] == place[:2] and one.partition == place.partition]
        said = {one: self.archive.held[one][0] for one in places}
        self._do(self.archive.delete, *places)
        for one in places:
            self._do(self.archive.store, one, said[one], of_series)

    @switched("restudy")
    @rule(study=studies, said=saids)
    def store_study_again(self, study, said):
        """Corrected: every instance says something else now."""
        places = self.archive.of_study(study, DEFAULT)
        held = {one: self.archive.held[one][1] for one in places}
        if places:
            self._do(self.archive.delete, *places)
        for one in places:
            self._do(self.archive.store, one, said, held[one])

    @switched("delete")
    @rule(at=at, whole=st.sampled_from(["instance", "series", "study"]))
    def delete(self, at, whole):
        if (place := self._held(at)) is None:
            return
        depth = {"instance": 3, "series": 2, "study": 1}[whole]
        gone = [one for one in self.archive.held if one[:depth] == place[:depth] and one.partition == place.partition]
        if "empty" in self.on or len(gone) < len(self.archive.of_study(place.study, place.partition)):
            self._do(self.archive.delete, *gone)

    @switched("move")
    @rule(at=at, study=studies, series=which_series, delete_first=st.booleans())
    def move(self, at, study, series, delete_first):
        """To another series or study, whose words it then says."""
        if (place := self._held(at)) is None:
            return
        target = self._place(study, series, place.instance, place.partition)
        if target in self.archive.held:
            return
        said, words = self.archive.held[place]
        if delete_first:
            self._do(self.archive.delete, place)
        self._do(self.archive.store, target, *self._words(target, said, words))
        if not delete_first:
            self._do(self.archive.delete, place)

    @switched("update")
    @rule(study=studies, tags=updates)
    def update(self, study, tags):
        if self.archive.of_study(study, DEFAULT):
            self._do(self.archive.update, study, DEFAULT, tags)

    @switched("renumber")
    @rule(at=at, whole=st.booleans())
    def renumber(self, at, whole):
        """Another StudyInstanceUID for a study, or another SeriesInstanceUID for a series of it."""
        if (place := self._held(at)) is None:
            return
        study = self.archive.of_study(place.study, place.partition)
        if whole:
            free = [name for name in ("S1", "S2", "S3") if not self.archive.of_study(name, place.partition)]
            if free:
                self._do(self.archive.renumber, study, place._replace(study=free[0]))
            return
        names = REPORTS if place.series in REPORTS else IMAGES
        other = names[1 - names.index(place.series)]
        if other not in {one.series for one in study}:
            series = [one for one in study if one.series == place.series]
            self._do(self.archive.renumber, series, place._replace(series=other))

    @switched("rename")
    @rule(at=at, instance=st.sampled_from(["i", "j", "k"]))
    def rename(self, at, instance):
        """Another SOPInstanceUID for an instance, which is no dose report."""
        place = self._held(at)
        if place is not None and place.instance != "dose":
            to = place._replace(instance=instance)
            if not self._is_out(to):
                self._do(self.archive.rename, place, to)

    @switched("reserve")
    @rule()
    def reserve(self):
        self.archive.reserve()

    @switched("reserve")
    @precondition(lambda self: self.archive.is_reserved())
    @rule(study=studies, series=which_series, instance=instances, said=saids, of_series=of_series)
    def store_late(self, study, series, instance, said, of_series):
        """What was slow is seen after what had higher numbers."""
        place = self._place(study, series, instance)
        if not self._is_out(place):
            self._do(self.archive.store_reserved, place, *self._words(place, said, of_series))

    @switched("swap")
    @rule()
    def swap_times(self):
        """The two newest entries of which none is read; those of one instance keep their order."""
        young = [one for one in self.archive.changes() if one[0] > self.world.read_through]
        if len(young) > 1 and young[-1][3] != young[-2][3]:
            self.archive.swap_times(young[-2][0], young[-1][0])

    @switched("crowd")
    @rule(first=saids, second=saids)
    def crowd(self, first, second):
        """Two studies, and so many others between them that lanes share them."""
        for study, said in (("S1", first), *((f"F{n}", Said(patient=f"PF{n}")) for n in range(9)), ("S2", second)):
            place = Place(study, "a", "i")
            if place in self.archive.held:
                self._do(self.archive.delete, place)
            self._store(place, said, OfSeries())

    @switched("grow")
    @rule(study=studies, series=which_series, said=saids, of_series=of_series, size=sizes)
    def grow(self, study, series, said, of_series, size):
        """A scanner sends instances of a study while ticks go on."""
        for instance in ("i", "j", "k"):
            self._store(self._place(study, series, instance), said, of_series)
            self.world.clock.sleep(2)
            self.world.tick(size)

    # FHIR and those who write it besides.

    @switched("others")
    @rule(at=at, kind=st.sampled_from(["note", "identifier", "endpoint", "extension"]))
    def others_write(self, at, kind):
        items = {
            "note": {"text": "by others"},
            "identifier": {"system": "urn:others", "value": "X"},
            "endpoint": {"reference": "Endpoint/of-others"},
            "extension": {"url": "urn:others", "valueString": "x"},
        }
        self._put(at, kind, items[kind])

    @switched("equal")
    @rule(at=at, text=st.sampled_from(["wrong", "right"]))
    def others_write_a_note_like_ours(self, at, text):
        self._put(at, "note", {"text": text})

    @switched("others")
    @rule(at=at)
    def others_write_a_patient(self, at):
        patients = self.world.fhir.of_type("Patient")
        if patients:
            patient = sorted(patients, key=lambda one: one["id"])[at % len(patients)]
            telecom = [{"system": "phone", "value": "1"}]
            self.world.fhir.written_by_others(patient | {"telecom": telecom})
            self.world.on_patients[f"Patient/{patient['id']}"] = telecom
            self.world.log.append(f"others: telecom of Patient/{patient['id']}")

    def _put(self, at, element, item):
        found = sorted(studies_of(self.world.fhir).items())
        if not found:
            return
        key, study = found[at % len(found)]
        if item in study.get(element, []) or item in self.world.on_studies[key][element]:
            return  # it may be ours
        self.world.fhir.written_by_others(study | {element: [*study.get(element, []), item]})
        self.world.on_studies[key][element].append(item)
        self.world.log.append(f"others: {element} {item} on {key[1]}")

    @switched("sick")
    @rule(study=studies)
    def sicken(self, study):
        """The FHIR server fails each transaction that speaks of the study, until all is settled."""
        self.world.fhir.sick = {f"urn:oid:{STUDIES[study]}'"}
        self.world.log.append(f"{study} is sick")

    @switched("refused")
    @rule(text=st.sampled_from(["urn:oid:1.4.1'", "urn:oid:1.2.2'", "'1.4.2'"]))
    def refuse(self, text):
        self.world.fhir.refused = {text}
        self.world.log.append(f"{text} is refused")

    # The app.

    @rule(size=sizes, wait=st.booleans())
    def tick(self, size, wait):
        self._wait(wait)
        self.world.tick(size)

    @switched("faults")
    @rule(size=sizes, wait=st.booleans(), fault=faults)
    def tick_with_fault(self, size, wait, fault):
        self._wait(wait)
        self.world.host.faults.armed = replace(fault)
        self.world.is_disturbed = True
        self.world.log.append(str(fault))
        self.world.tick(size)
        self.world.host.faults.armed = None

    def _wait(self, wait):
        if wait:
            self.world.clock.sleep(70)

    @switched("restart")
    @rule()
    def restart(self):
        self.world.host.restart()
        self.world.log.append("restart")

    @switched("replay")
    @rule(
        kind=st.sampled_from(["sequences", "times", "errors", "study", "gone"]),
        study=studies,
        at=at,
        dry_run=st.sampled_from([False, False, True]),
    )
    def replay(self, kind, study, at, dry_run):
        rows = self.archive.changes()
        if not rows:
            return
        first, last = sorted((rows[at % len(rows)][0], rows[-1][0]))
        target = {
            "sequences": SequenceRange(first, last),
            "times": TimeRange("2026-01-01T00:00:00+00:00", self.world.clock.at.isoformat()),
            "errors": StoredErrors(tuple(ErrorTable)),
            "study": StudyRebuild(STUDIES[study]),
            "gone": SequenceRange(rows[0][0], first),
        }[kind]
        self.world.host.replay(target, dry_run=dry_run)
        self.world.log.append(f"replay {target}{' dry' if dry_run else ''}")

    @switched("cancel")
    @rule()
    def cancel(self):
        for replay in self.world.host.replays.under_way():
            self.world.host.replays.cancel(replay.id)
            self.world.log.append(f"cancel replay {replay.id}")

    @rule(again=st.sampled_from(AGAIN))
    def settle(self, again):
        self._settle(again)

    def _settle(self, again):
        try:
            self.world.settle()
            self.world.check()
            self.world.again(again)
            self.world.check()
        except ViolatedError as violated:
            violated.add_note("What happened:\n  " + "\n  ".join(self.world.log))
            raise

    def _is_out(self, place):
        """Whether it is there already, or what the theme leaves out: `dose` reports, one SOPInstanceUID `twice`."""
        if place in self.archive.held or (place.instance == "dose" and "dose" not in self.on):
            return True
        others = [
            one for one in self.archive.held if one.instance == place.instance and one.partition == place.partition
        ]
        return "twice" not in self.on and any(one.study == place.study for one in others)

    def _do(self, change, *args):
        change(*args)
        self.world.changed()

    def _store(self, place, said, of_series):
        if not self._is_out(place):
            self._do(self.archive.store, place, *self._words(place, said, of_series))

    def _words(self, place, said, of_series):
        """Those of its study, and of its series, where there are any."""
        for one, (study_says, series_says) in self.archive.held.items():
            if (one.study, one.partition) == (place.study, place.partition):
                said = study_says
                if one.series == place.series and not of_series.invalid and not series_says.invalid:
                    of_series = series_says
        return said, of_series

    def _place(self, study, series, instance, partition=DEFAULT):
        return Place(study, (REPORTS if instance == "dose" else IMAGES)[series], instance, partition)

    def _held(self, at):
        held = sorted(self.archive.held)
        return held[at % len(held)] if held else None
