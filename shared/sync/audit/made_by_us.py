"""ImagingStudies that the app made for one data partition, as a search by their sign finds them (docs/adr/0017).

A server that keeps `meta.source` is searched by it, since each study has one, also of releases that wrote no tag; any
other by the tag. On a server that takes neither search it cannot be told what FHIR has and the archive has not.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from shared.errors import EntryError, FhirRefusedError, PagingError
from shared.mapping.converters import SIGN_SYSTEM, MappingOptions
from shared.mapping.held import readable
from shared.mapping.sign import is_ours
from shared.mapping.transaction import source_query, tag_query
from shared.model.fhir import Resource
from shared.sync.ports import FhirServer

_ELEMENTS = "_elements=identifier,meta,started"
_FEW_PAGES, _ALL_PAGES = 5, 200


class MadeByUs:
    """`signs` remembers the search that finds ours, by the DICOM service's URL. `tell` is told what is not known."""

    def __init__(
        self, fhir: FhirServer, options: MappingOptions, signs: dict[str, str], tell: Callable[[str], None]
    ) -> None:
        self._fhir = fhir
        self._options = options
        self._signs = signs
        self._tell = tell

    def between(self, first: date, last: date, *, all_pages: bool) -> list[Resource] | None:
        """Those that started in these days, and some around them; None where they are too many for some pages.

        A time with an offset may be of another day in UTC: the days beside the window are searched too.
        """
        day = timedelta(days=1)
        start = f"&started=ge{(first - day).isoformat()}" if first > date.min else ""
        end = f"&started=le{(last + day).isoformat()}" if last.year < date.max.year else ""
        if not (start or end):
            start = "&started=ge1000-01-01"  # a study without a date is none of any window
        return self._searched(f"{start}{end}", f"of {first} to {last}", all_pages=all_pages)

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
            self._tell(f"studies {named} that are in FHIR, and not in DICOM, cannot be told: {error}")
            return []
        except FhirRefusedError as error:
            self._tell(f"studies {named} that are in FHIR, and not in DICOM, cannot be told: {error}")
            return []
        return [one for one in found if self._is_ours(one)]

    def _all(self, query: str, most: int) -> list[Resource]:
        return [one for page in self._fhir.pages("ImagingStudy", query, most) for one in page]

    def _sign(self) -> str:
        """The search to use, looked for once; empty where none finds anything."""
        url = self._options.service_url
        if url not in self._signs:
            self._signs[url] = next(filter(self._finds, (source_query(url), tag_query(SIGN_SYSTEM, url))), "")
        return self._signs[url]

    @property
    def finds_none(self) -> bool:
        """Whether no study was found by either sign."""
        return not self._sign()

    def _finds(self, query: str) -> bool:
        try:
            found: Sequence[Resource] = self._fhir.first("ImagingStudy", f"{query}&{_ELEMENTS}")
        except (FhirRefusedError, PagingError):
            return False
        return any(map(self._is_ours, found))

    def _is_ours(self, study: Resource) -> bool:
        """A server that ignores a parameter answers with everything."""
        try:
            return is_ours(readable(study), self._options.service_url)
        except EntryError:
            return False
