"""The exceptions of the app. Each class says which phase failed, and what becomes of the work.

DicomCastError
├── SettingsError            start-up: the app cannot run until a person mends its settings
├── FeedError                the change feed cannot be read; the watermark stays
│   ├── TornAnswer…          one entry may be to blame: smaller windows are asked for until it is found
│   │   └── OverlongAnswer…  the answer is larger than the bound
│   ├── RefusedWindow…       likewise, if the same window without metadata is answered
│   └── FeedEndsEarly…       the feed is not the one that the watermark was taken from
├── WatermarkError           the watermark's row cannot be read: nothing is synced until a person mends it
├── EntryError               one entry cannot be synced as it is: it gets a row in `table`, and the rest goes on
│   ├── InvalidDicomTag…     the DICOM data is at fault
│   ├── MalformedResource…   a resource on the FHIR server is not of R4's shape and cannot be merged with
│   ├── UnversionedResource… a resource has no version, so that an update could overwrite others' writes
│   ├── ReplacedPatient…     a Patient was replaced by one that cannot be used
│   ├── UnforeseenError      a bug of the app
│   └── FhirRefused…         the FHIR server refuses the resource for good
│       ├── StudyTooLarge…   the study is written without its list of instances
│       └── DeleteRefused…   the resource stays, without its content
├── TransientError           a retry may help: the study is carried, and the others go on
│   ├── ThrottledError       likewise, with fewer requests at once
│   ├── OutOfTimeError       the time of the tick is over
│   ├── ConflictError        another client wrote first: read again, merge again
│   └── UnreadStudyError     the archive cannot say what it holds of the study
├── RequestError             a request to the app's own API cannot be served; the caller gets every fault
│   ├── TooManyReplays…
│   └── RoundUnderWay…
├── SwitchedOffError         a setting turns off what was asked for
├── CheckError               a step of the self-check failed
├── NotAskedError            a step of the self-check does not apply
├── OutageError              a whole system is down or refuses the app: the tick ends, and nothing is skipped
│   └── ForbiddenError       403, by the server or by a firewall before it
└── LeaseLostError           another host works now: the tick stops at once
"""

from collections.abc import Sequence
from typing import ClassVar

from shared.model.failures import ErrorTable, InvalidTag


class DicomCastError(Exception):
    """Root of all errors that the app raises knowingly. Messages carry no patient values."""


class SettingsError(DicomCastError):
    """The settings are at fault; `faults` names every one of them."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The app's settings are not usable: " + "; ".join(faults))


class RequestError(DicomCastError):
    """A request to the app's own API cannot be served. `faults` names all its faults and none of its values."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class TooManyReplaysError(RequestError):
    """As many replays are under way as there may be."""

    def __init__(self, limit: int) -> None:
        super().__init__([f"{limit} replays are under way: wait for one to end, or cancel one"])


class RoundUnderWayError(RequestError):
    """A round of the audit is under way, and there is only one at a time."""

    def __init__(self) -> None:
        super().__init__(["a round of the audit is under way: wait for its end, or stop it"])


class SwitchedOffError(DicomCastError):
    """A setting turns off what was asked for; the message names it."""


class CheckError(DicomCastError):
    """A step of the self-check failed. `action` says what to do; None if that does not depend on what failed."""

    def __init__(self, message: str, action: str | None = None) -> None:
        super().__init__(message)
        self.action = action


class NotAskedError(DicomCastError):
    """A step of the self-check does not apply; the message says why."""


class FeedError(DicomCastError):
    """The change feed's answer breaks its contract. The message names the URL and what is wrong."""


class TornAnswerError(FeedError):
    """The answer, or an entry in it, cannot be read. One entry may be to blame."""


class RefusedWindowError(FeedError):
    """A window of the feed was answered with an error status that does not mean an outage (404, 424 and the like)."""


class FeedEndsEarlyError(FeedError):
    """The newest entry of the feed is before the watermark, so the watermark was not taken from this feed."""

    def __init__(self, latest: int, watermark: int) -> None:
        super().__init__(
            f"the change feed ends before the watermark: its latest entry is {latest}, the watermark stands at "
            f"{watermark}. Nothing is synced: either this is another DICOM service, or its feed was made anew, or the "
            "watermark's row was changed; docs/runbook.md, 'The change feed ends before the watermark'"
        )


class WatermarkError(DicomCastError):
    """The watermark's row cannot be read. The message names the column and what is expected; the row is left alone."""


class OverlongAnswerError(TornAnswerError):
    """An answer is larger than the bound. The message names the URL, the bound and what to do."""


class EntryError(DicomCastError):
    """An entry cannot be synced as it is. It gets a row in `table`, and the watermark passes it."""

    table: ClassVar[ErrorTable]


class InvalidDicomTagError(EntryError):
    """A required tag is missing or invalid; if validation is enforced, any tag."""

    table = ErrorTable.DICOM

    def __init__(self, tags: tuple[InvalidTag, ...]) -> None:
        self.tags = tags
        super().__init__("; ".join(map(str, tags)))


class TornEntryError(EntryError):
    """The entry of the feed, or its metadata, cannot be read, so there is nothing to map."""

    table = ErrorTable.DICOM


class MultipleMatchingResourcesError(EntryError):
    """Several resources on the FHIR server have the same identifier. To choose one of them would be a guess."""

    table = ErrorTable.FHIR


class MalformedResourceError(EntryError):
    """A resource on the FHIR server is not of R4's shape, so it cannot be merged with. It names the element."""

    table = ErrorTable.FHIR


class UnversionedResourceError(EntryError):
    """The FHIR server gives no version of a resource to update: the update could overwrite others' writes."""

    table = ErrorTable.FHIR


class ReplacedPatientError(EntryError):
    """A Patient was replaced by another (`Patient.link`, `replaced-by`) which cannot be used."""

    table = ErrorTable.FHIR


class FhirRefusedError(EntryError):
    """The FHIR server refused the bundle for good (400, 404, 410, 422).

    `may_be_limit`: the bundle was larger than any that the server has taken before, so its size may be the reason.
    `status`: the HTTP status, None if it is not known.
    """

    table = ErrorTable.FHIR

    def __init__(self, message: str, *, may_be_limit: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.may_be_limit = may_be_limit
        self.status = status


class StudyTooLargeError(FhirRefusedError):
    """The FHIR server takes no resource of this size (413). The study's instances are counted, not listed."""


class DeleteRefusedError(FhirRefusedError):
    """The FHIR server does not delete a resource because others refer to it. It stays, marked and without content."""


class UnforeseenError(EntryError):
    """A bug of the app met while a study was merged or sent. `name` is the class of the exception, without its text.

    `frames` are those of its traceback, as `file:line in function`.
    """

    table = ErrorTable.FHIR
    phase: ClassVar[str] = "while the study was merged or sent"

    def __init__(self, name: str, frames: Sequence[str]) -> None:
        self.name = name
        self.frames = frames
        super().__init__(f"unforeseen {name} {self.phase}: report it; the log has the traceback")


class UnforeseenMappingError(UnforeseenError):
    """A bug of the app met while an entry was mapped."""

    table = ErrorTable.DICOM
    phase = "while the entry was mapped"


class UnforeseenTickError(UnforeseenError):
    """A bug of the app met outside of any study, entry or replay. The tick ends; the next one may meet it again."""

    phase = "outside of any study"


class PagingError(EntryError):
    """The pages of a search lead to another host, or do not end."""

    table = ErrorTable.FHIR


class EndpointMismatchError(EntryError):
    """The Endpoint with the name of ours has another address."""

    table = ErrorTable.FHIR


class TransientError(DicomCastError):
    """A fault that may pass (408, 429, 5xx, connection, time-out). The study is tried again.

    `retry_after_seconds`: what the server asked for, if it did. `status`: the HTTP status of the answer to a
    transaction, None if there was no answer or it was to another request.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.status = status


class ThrottledError(TransientError):
    """The server gets more requests than it takes (429). The study is tried again, with fewer requests at once."""


class OutOfTimeError(TransientError):
    """The time of the tick, or of the request, is over. The system that was asked last is not at fault."""


class ConflictError(TransientError):
    """Another client wrote between our read and our write (412, 409)."""


class UnreadStudyError(TransientError):
    """What the archive holds of one study cannot be read, or contradicts itself, while the feed can be read."""


class OutageError(DicomCastError):
    """A whole system is down or refuses the app (unreachable, 401, 403). The tick ends, and nothing is skipped.

    The message names the system once, also if it is that of another fault which names it already. `status`: the HTTP
    status if the server answered that it is not available now (5xx, 429 and the like).
    """

    def __init__(self, system: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"{system}: {message.removeprefix(f'{system}: ')}")
        self.system = system
        self.status = status


class ForbiddenError(OutageError):
    """403: the server refuses the app, or a web application firewall before it refuses this one request."""


class IncompatibleServerError(OutageError):
    """The FHIR server is not R4 or takes no transactions, so nothing can be synced to it."""


class LeaseLostError(DicomCastError):
    """The lease, or the ETag of the watermark's row, is no longer ours. This host stops; the other one goes on."""
