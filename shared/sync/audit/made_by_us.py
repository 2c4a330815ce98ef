"""Finds the ImagingStudies that the app made for one data partition, by the sign that they have (docs/adr/0017).

A server that keeps `meta.source` is searched by it, as every study has one, also if an old release wrote no tag; other
servers are searched by the tag. If a server takes neither search, studies that only FHIR has cannot be found.
"""

from collections.abc import Callable, Sequence
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


class MadeByUs:
    """`signs` keeps the search that finds them, by the DICOM service's URL. `report` gets what cannot be found."""

    def __init__(
        self, fhir: FhirServer, options: MappingOptions, signs: dict[str, str], report: Callable[[str], None]
    ) -> None:
        self._fhir = fhir
        self._options = options
        self._signs = signs
        self._report = report

    def between(self, first: date, last: date, *, all_pages: bool) -> list[Resource] | None:
        """Those that started on these days, and some from the days beside; None if they take too many pages.

        The days beside the window are searched too, since a time with an offset may be of another day in UTC.
        """
        day = timedelta(days=1)
        start = f"&started=ge{(first - day).isoformat()}" if first > date.min else ""
        end = f"&started=le{(last + day).isoformat()}" if last.year < date.max.year else ""
        named = f"of {first} to {last}"
        if start or end:
            return self._searched(f"{start}{end}", named, all_pages=all_pages)
        # A search without any date would find the studies without one too.
        parts = [self._searched(f"&started={one}1000-01-01", named, all_pages=all_pages) for one in ("le", "ge")]
        return None if None in parts else [study for part in parts for study in part or ()]

    def without_date(self) -> list[Resource]:
        """Those that have no `started`."""
        return self._searched("&started:missing=true", "without a date", all_pages=True) or []

    def _searched(self, where: str, named: str, *, all_pages: bool) -> list[Resource] | None:
        sign = self._sign()
        if not sign:
            return []
        try:
            found = self._all(f"{sign}{where}&{_ELEMENTS}", _ALL_PAGES if all_pages else _FEW_PAGES)
        except PagingError as error:
            if not all_pages:
                return None
            self._report(f"studies {named} that are in FHIR, and not in DICOM, cannot be told: {error}")
            return []
        except FhirRefusedError as error:
            self._report(f"studies {named} that are in FHIR, and not in DICOM, cannot be told: {error}")
            return []
        return [one for one in found if self._is_ours(one)]

    def _all(self, query: str, most: int) -> list[Resource]:
        return [one for page in self._fhir.pages("ImagingStudy", query, most) for one in page]

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
