"""Reads one place of a round on both sides, and finds the studies that have to be looked at closely."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from urllib.parse import quote

from shared.errors import FeedError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.study_identity import uid_of
from shared.mapping.transaction import identifier_query
from shared.model.audit import Chunk, Dates, OneStudy, Phase, Place, Round
from shared.model.fhir import Resource
from shared.model.instance import StudyKey
from shared.model.listed_study import ListedStudy
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.audit.made_by_us import MadeByUs
from shared.sync.audit.parts import STEP_SECONDS, Parts, joined, next_parts, tried
from shared.sync.audit.screen import SUMMARY, Screen, day_of, subject_of, unique, values_of
from shared.sync.audit.windows import dates_of, first_place, following, halved
from shared.sync.ports import Ports

AT_ONCE = 200
"""Studies that FHIR is searched for in one batch."""
PAGES = 5
"""Pages of the list of all studies in one chunk: few studies are without a date."""
MOST_PAGES = 200
"""Pages of one StudyDate in the archive: 40,000 studies, as many as are read of it from FHIR. They are one chunk."""
READINGS = 3
"""Readings of a day whose pages repeat studies, because the list has changed while it was read."""
ROWS = 100
"""Open differences in one chunk."""
NOT_FOUND = (
    "this FHIR server has studies, and finds none by _source or _tag of {}: "
    "what is in FHIR, and not in DICOM, cannot be told"
)


class ChunkReader:
    """Reads the chunks of one round. `options`: those of the default data partition."""

    def __init__(self, ports: Ports, audit: AuditPorts, options: MappingOptions, round_: Round) -> None:
        self._fhir = ports.fhir
        self._now = ports.now
        self._audit = audit
        self._options = options
        self._round = round_
        self._unknown: list[str] = []
        self._is_any_held = False

    def read(self) -> Chunk | None:
        """The chunk at the round's place; None if it takes another step to read.

        Raises FeedError, OutageError, TransientError, EntryError.
        """
        place, scope = replace(self._round.place, after=""), self._round.request.scope
        if isinstance(scope, OneStudy) and place.phase is Phase.DATED:
            one = (scope.partition, scope.study_instance_uid)
            return self._chunk(place, [one], 1, Place(Phase.DELETES))
        match place.phase:
            case Phase.DATED:
                return self._dated(place)
            case Phase.UNDATED:
                return self._undated(place)
            case Phase.FHIR_UNDATED:
                return self._in_parts(place, self._undated_in_fhir)
            case Phase.OPEN | Phase.DELETES:
                return self._open(self._round.place)

    @property
    def end(self) -> date:
        """The last StudyDate of the round."""
        scope = self._round.request.scope
        return scope.last if isinstance(scope, Dates) else date.max

    def _dated(self, place: Place) -> Chunk | None:
        """A window of StudyDates, halved until each side can list what it has of it in few pages.

        If not even a day is small enough, it is the next place, and is then read in parts. So is the half at which the
        time of a step is over.
        """
        if (reading := self._audit.memory.reading) and reading.place == place:
            return self._in_parts(place, self._of_day)
        options, ours = self._of_partition(place)
        asked, until = place, self._now() + timedelta(seconds=STEP_SECONDS)
        while True:
            listed, is_more = self._audit.studies.page(place.partition, 0, dates_of(place))
            held = None if is_more else ours.between(*dates_of(place))
            if held is not None:
                break
            if place.days == 1:
                return self._in_parts(place, self._of_day) if place == asked else self._chunk(place, (), 0, place)
            place = halved(place)
            if self._now() >= until:
                return self._chunk(place, (), 0, place)
        studies = unique(one for one in listed if day_of(one.study_date))
        suspects = self._suspects(list(studies.values()), options)
        return self._compared(place, asked, studies, suspects, _uids(held, place, options))

    def _of_day(self, place: Place) -> Parts[Chunk]:
        """A day of many pages. The list is read again if pages repeat a study, as then another may have been missed."""
        options, ours = self._of_partition(place)
        found: dict[str, ListedStudy] = {}
        for _ in range(READINGS):
            listed = yield from self._pages(place)
            found |= unique(one for one in listed if day_of(one.study_date))
            if len(unique(listed)) == len(listed):
                break
        studies = list(found.values())
        held = yield from joined(
            lambda: (_uids(page, place, options) for page in ours.of_day(date.fromordinal(place.first)))
        )
        suspects: list[str] = []
        for start in range(0, len(studies), AT_ONCE):
            suspects += yield from tried(partial(self._suspects, studies[start : start + AT_ONCE], options))
        return (yield from tried(lambda: self._compared(place, place, found, suspects, held)))

    def _pages(self, place: Place) -> Parts[list[ListedStudy]]:
        found: list[ListedStudy] = []
        for _ in range(MOST_PAGES):
            page, is_more = yield from tried(
                partial(self._audit.studies.page, place.partition, len(found), dates_of(place))
            )
            found += page
            if not is_more:
                return found
        while True:  # it is waited for, and in the end passed by
            yield FeedError(f"more than {len(found)} studies are of one StudyDate: they are not compared")

    def _compared(
        self,
        place: Place,
        asked: Place,
        studies: Mapping[str, ListedStudy],
        suspects: Sequence[str],
        held: Sequence[str],
    ) -> Chunk:
        """The chunk of these studies that the archive lists, and of those that FHIR has (`held`). Raises as `read`."""
        options, ours = self._of_partition(place)
        if ours.finds_none and self._is_any_held:
            self._unknown.append(NOT_FOUND.format(options.service_url))
        window = following(place, max(len(studies), len(held)), self.end, was_halved=place != asked)
        uids = dict.fromkeys([*suspects, *(uid for uid in held if uid not in studies)])
        found = [(place.partition, uid) for uid in uids]
        return self._chunk(place, found, len(studies), window or self.behind(place))

    def _undated(self, place: Place) -> Chunk:
        """Some pages of all studies; those without a date are compared, as no search finds only them."""
        options, _ = self._of_partition(place)
        listed: list[ListedStudy] = []
        is_more = True
        for _ in range(PAGES):
            page, is_more = self._audit.studies.page(place.partition, place.offset + len(listed))
            listed += page
            if not is_more:
                break
            if len(listed) > len(page) == len(unique(listed)):
                raise FeedError("the list of all studies gives one page again and again")
        studies = unique(one for one in listed if day_of(one.study_date) is None)
        found = [(place.partition, uid) for uid in self._suspects(list(studies.values()), options)]
        following_page = replace(place, offset=place.offset + len(listed))
        return self._chunk(place, found, len(studies), following_page if is_more else self.behind(place))

    def _undated_in_fhir(self, place: Place) -> Parts[Chunk]:
        """The app's studies without `started`: it is only checked whether the archive has them."""
        options, ours = self._of_partition(place)
        held = yield from joined(lambda: (_uids(page, place, options) for page in ours.without_date()))
        found = [(place.partition, uid) for uid in held]
        behind = yield from tried(lambda: self.behind(place))
        return replace(self._chunk(place, found, 0, behind), is_of_fhir=True)

    def _open(self, place: Place) -> Chunk:
        """Open differences that this round has not seen: FHIR may have been corrected, or cannot be searched."""
        started = self._round.started or self._round.created
        rows = self._audit.differences.open(ROWS, place.after, seen_before=started)
        suspects = tuple((key, row.study) for key, row in rows)
        behind = Place(Phase.OPEN, after=rows[-1][0]) if len(rows) == ROWS else Place(Phase.DELETES)
        return Chunk(self._round.id, replace(place, after=""), suspects, 0, behind)

    def _suspects(self, studies: Sequence[ListedStudy], options: MappingOptions) -> list[str]:
        """The StudyInstanceUIDs of these studies that have to be read, by what FHIR says about them."""
        suspects: list[str] = []
        for start in range(0, len(studies), AT_ONCE):
            part = studies[start : start + AT_ONCE]
            held = self._held([one.study_instance_uid for one in part], options)
            screen = self._screen([study for found in held.values() for study in found])
            uids = (
                one.study_instance_uid for one in part if screen.is_suspect(one, held.get(one.study_instance_uid, ()))
            )
            suspects += uids
        return suspects

    def _held(self, uids: Sequence[str], options: MappingOptions) -> Mapping[str, Sequence[Resource]]:
        """The ImagingStudies with these UIDs, by UID. The very first round reads their series, too."""
        is_listed = self._round.since is None or not options.extended
        elements = f"&_elements={SUMMARY}{',series' if is_listed else ''}"
        asked = [("ImagingStudy", identifier_query(options.uid_system, f"urn:oid:{uid}") + elements) for uid in uids]
        held: dict[str, dict[str, Resource]] = {}
        for found in self._fhir.search_many(asked) if asked else ():
            for study in found:
                if uid := uid_of(study, options):
                    held.setdefault(uid, {})[str(study.get("id"))] = study
        self._is_any_held |= bool(held)
        return {uid: list(found.values()) for uid, found in held.items()}

    def _screen(self, held: Sequence[Resource]) -> Screen:
        """The screen, with the identifiers of the Patients that these studies link to."""
        ids = [one.removeprefix("Patient/") for one in map(subject_of, held) if one.startswith("Patient/")]
        asked = [("Patient", f"_id={quote(one, safe='')}&_elements=identifier") for one in dict.fromkeys(ids)]
        results = self._fhir.search_many(asked) if asked else []
        identifiers = {f"Patient/{one.get('id')}": values_of(one) for found in results for one in found}
        again = {uid for _, uid in self._round.again}
        return Screen(self._round.number, self._round.since, self._round.request.is_deep, again, identifiers)

    def _in_parts(self, place: Place, begin: Callable[[Place], Parts[Chunk]]) -> Chunk | None:
        return next_parts(self._audit.memory, self._round, place, lambda: begin(place), self._now)

    def _of_partition(self, place: Place) -> tuple[MappingOptions, MadeByUs]:
        options = self._options.of_partition(place.partition)
        return options, MadeByUs(self._fhir, options, self._audit.memory.signs, self._unknown.append)

    def behind(self, place: Place) -> Place:
        """The next place: the next phase, or first phase of the next data partition. Raises FeedError, OutageError."""
        phases = {Phase.DATED: Phase.UNDATED, Phase.UNDATED: Phase.FHIR_UNDATED}
        if self._round.is_whole and place.phase in phases:
            return Place(phases[place.phase], place.partition)
        names = self._audit.studies.partitions()
        if place.partition not in names:
            raise FeedError(f"the list of data partitions lacks {place.partition}, in which the round is")
        if rest := [name for name in names if name > place.partition]:
            return first_place(self._round.request.scope, rest[0])
        return Place(Phase.OPEN) if self._round.is_whole else Place(Phase.DELETES)

    def _chunk(self, place: Place, suspects: Sequence[StudyKey], compared: int, behind: Place) -> Chunk:
        keyed = tuple(sorted((uid, (partition, uid)) for partition, uid in suspects))
        return Chunk(self._round.id, place, keyed, compared, behind, tuple(self._unknown))


def _uids(held: Iterable[Resource], place: Place, options: MappingOptions) -> list[str]:
    """The StudyInstanceUIDs of the ImagingStudies that started on a day of the place, or have no day if it has none."""
    if place.phase is Phase.DATED:
        first, last = (day.isoformat() for day in dates_of(place))
        held = [one for one in held if first <= str(one.get("started"))[:10] <= last]
    return [uid for one in held if (uid := uid_of(one, options))]
