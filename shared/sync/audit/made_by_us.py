"""Finds the ImagingStudies that the app made for one data partition, by the sign that they have (docs/adr/0017).

A server that keeps `meta.source` is searched by it, as every study has one, also if an old release wrote no tag; other
servers are searched by the tag. If a server takes neither search, studies that only FHIR has cannot be found.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

from shared.errors import EntryError, FhirRefusedError, PagingError
from shared.mapping.converters import SIGN_SYSTEM
from shared.mapping.held import readable
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import is_ours
from shared.mapping.transaction import source_query, tag_query
from shared.model.fhir import Resource
from shared.sync.ports import FhirServer

_ELEMENTS = "_elements=identifier,meta,started"
_FEW_PAGES, _ALL_PAGES = 5, 200
_DAY = timedelta(days=1)


class MadeByUs:
    """`signs` keeps the search that finds them, by the DICOM service's URL. `report` gets what cannot be found."""

    def __init__(
        self, fhir: FhirServer, options: MappingOptions, signs: dict[str, str], report: Callable[[str], None]
    ) -> None:
        self._fhir = fhir
        self._options = options
        self._signs = signs
        self._report = report

    def between(self, first: date, last: date) -> list[Resource] | None:
        """Those that started on these days, and some from the days beside; None if they take more than a few pages."""
        started, named = _started(first, last), f"of {first} to {last}"
        # A search without any date would find the studies without one too.
        searches = [started] if started else [f"&started={one}1000-01-01" for one in ("le", "ge")]
        try:
            pages = [page for where in searches for page in self._pages(where, named, _FEW_PAGES)]
        except PagingError:
            return None
        return [study for page in pages for study in page]

    def of_day(self, day: date) -> Iterator[list[Resource]]:
        """All that started on that day, and some from the days beside, page by page."""
        return self._all_pages(_started(day, day), f"of {day}")

    def without_date(self) -> Iterator[list[Resource]]:
        """All that have no `started`, page by page."""
        return self._all_pages("&started:missing=true", "without a date")

    def _all_pages(self, where: str, named: str) -> Iterator[list[Resource]]:
        try:
            yield from self._pages(where, named, _ALL_PAGES)
        except PagingError as error:
            self._report_unknown(named, error)

    def _pages(self, where: str, named: str, most: int) -> Iterator[list[Resource]]:
        """Raises PagingError if there are more than `most` pages, or one cannot be got."""
        if not (sign := self._sign()):
            return
        try:
            for page in self._fhir.pages("ImagingStudy", f"{sign}{where}&{_ELEMENTS}", most):
                yield [one for one in page if self._is_ours(one)]
        except FhirRefusedError as error:
            self._report_unknown(named, error)

    def _report_unknown(self, named: str, error: EntryError) -> None:
        self._report(f"studies {named} that are in FHIR, and not in DICOM, cannot be told: {error}")

    def _sign(self) -> str:
        """The search to use, determined once; empty if neither search finds a study."""
        url = self._options.service_url
        if url not in self._signs:
            self._signs[url] = next(filter(self._finds, (source_query(url), tag_query(SIGN_SYSTEM, url))), "")
        return self._signs[url]

    @property
    def finds_none(self) -> bool:
        """Whether neither search finds a study of the app."""
        return not self._sign()

    def _finds(self, query: str) -> bool:
        try:
            found: Sequence[Resource] = self._fhir.first("ImagingStudy", f"{query}&{_ELEMENTS}")
        except (FhirRefusedError, PagingError):
            return False
        return any(map(self._is_ours, found))

    def _is_ours(self, study: Resource) -> bool:
        """Checked because a server that ignores a parameter finds everything."""
        try:
            return is_ours(readable(study), self._options.service_url)
        except EntryError:
            return False


def _started(first: date, last: date) -> str:
    """The condition of a search for what started on these days; empty for all days.

    The days beside the window are searched too, since a time with an offset may be of another day in UTC.
    """
    start = f"&started=ge{(first - _DAY).isoformat()}" if first > date.min else ""
    end = f"&started=le{(last + _DAY).isoformat()}" if last.year < date.max.year else ""
    return start + end
