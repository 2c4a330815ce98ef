"""The exceptions of the app. A class names the phase that failed and its fate.

DicomCastError
├── SettingsError            start-up: the app cannot run until a person mends its settings
├── FeedError                reading the change feed failed; the watermark stands
│   ├── TornAnswer…          one entry may be to blame: the answer is halved until it stands alone
│   │   └── OverlongAnswer…  it is larger than any that is read
│   ├── RefusedWindow…       likewise, where the window without metadata is answered
│   └── FeedEndsEarly…       the feed is not the one that the watermark was taken from
├── WatermarkError           the watermark's row cannot be read: nothing is read or written until a person mends it
├── EntryError               one entry cannot be synced as it is: recorded in `table`, passed
│   ├── InvalidDicomTag…     the DICOM data is at fault
│   ├── MalformedResource…   what the FHIR server holds is of no shape that can be merged
│   ├── UnversionedResource… what the FHIR server holds tells no version: nobody's writes to it are safe
│   ├── ReplacedPatient…     a Patient was replaced, and where by cannot be followed
│   ├── UnforeseenError       the app is at fault: nobody foresaw what it met
│   └── FhirRefused…         the FHIR server will not take it
│       ├── StudyTooLarge…   its list of instances is left out
│       └── DeleteRefused…   what is to go stays, emptied
├── TransientError           trying again may help: its study is carried, others go on
│   ├── ThrottledError       fewer requests at once
│   ├── OutOfTimeError       the tick's time is over
│   ├── ConflictError        somebody else wrote first: read again, merge again
│   └── UnreadStudyError     the archive cannot say what it holds of the study
├── RequestError             what was asked for over HTTP cannot be done: the caller is told every fault
│   ├── TooManyReplays…
│   └── RoundUnderWay…
├── SwitchedOffError         a setting turns off what was asked for
├── CheckError               a step of the self-check failed: it may say what to do
├── NotAskedError            there was nothing to check
├── OutageError              a whole system is down or refuses us: stop, skip nothing
│   └── ForbiddenError       403: or what stands before it refuses one request of many
└── LeaseLostError           another host works now: stop at once
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
    """A request over HTTP cannot be understood; `faults` names every one of its faults, never its values."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class TooManyReplaysError(RequestError):
    """So many replays are under way that no other is begun."""

    def __init__(self, limit: int) -> None:
        super().__init__([f"{limit} replays are under way: wait for one to end, or cancel one"])


class RoundUnderWayError(RequestError):
    """One round of the audit at a time."""

    def __init__(self) -> None:
        super().__init__(["a round of the audit is under way: wait for its end, or stop it"])


class SwitchedOffError(DicomCastError):
    """What was asked for is turned off; the message names the setting."""


class CheckError(DicomCastError):
    """A step of the self-check failed; `action` says what to do, None where that is the same whatever failed."""

    def __init__(self, message: str, action: str | None = None) -> None:
        super().__init__(message)
        self.action = action


class NotAskedError(DicomCastError):
    """A step of the self-check had nothing to ask; the message says why."""


class FeedError(DicomCastError):
    """The change feed's answer is not the contract's; names the URL and what was wrong."""


class TornAnswerError(FeedError):
    """The answer came, but it, or an entry of it, cannot be read: one entry may be to blame."""


class RefusedWindowError(FeedError):
    """A window of the feed was answered with a status that is none of an outage (404, 424 and the like)."""


class FeedEndsEarlyError(FeedError):
    """The feed's newest entry comes before the watermark: another service, a feed made anew, a row that was changed."""

    def __init__(self, latest: int, watermark: int) -> None:
        super().__init__(
            f"the change feed ends before the watermark: its latest entry is {latest}, the watermark stands at "
            f"{watermark}. Nothing is synced: either this is another DICOM service, or its feed was made anew, or the "
            "watermark's row was changed; docs/runbook.md, 'The change feed ends before the watermark'"
        )


class WatermarkError(DicomCastError):
    """The watermark's row cannot be read; names the column and what it must be. Nothing is overwritten."""


class OverlongAnswerError(TornAnswerError):
    """An answer is larger than any that is read; names the URL, the bound and what to do. Of FHIR's it is a refusal."""


class EntryError(DicomCastError):
    """An entry cannot be synced as it is. Fate: a row in `table`; the watermark passes it."""

    table: ClassVar[ErrorTable]


class InvalidDicomTagError(EntryError):
    """A required tag is missing or invalid, or any tag where validation is enforced."""

    table = ErrorTable.DICOM

    def __init__(self, tags: tuple[InvalidTag, ...]) -> None:
        self.tags = tags
        super().__init__("; ".join(map(str, tags)))


class TornEntryError(EntryError):
    """The feed's entry cannot be read, or its metadata: there is nothing to map."""

    table = ErrorTable.DICOM


class MultipleMatchingResourcesError(EntryError):
    """The FHIR server holds several resources for one identifier; picking one would be a guess."""

    table = ErrorTable.FHIR


class MalformedResourceError(EntryError):
    """What the FHIR server holds is not of R4's shape, so that nothing can be merged with it. Names the element."""

    table = ErrorTable.FHIR


class UnversionedResourceError(EntryError):
    """A resource to be updated whose version the FHIR server tells nowhere: others' writes to it would be lost."""

    table = ErrorTable.FHIR


class ReplacedPatientError(EntryError):
    """A Patient's `link` says that another replaces it (`replaced-by`), and that one cannot be used."""

    table = ErrorTable.FHIR


class FhirRefusedError(EntryError):
    """The FHIR server refused the bundle for good (400, 404, 410, 422).

    `may_be_limit`: it was larger than any that the server has taken, and nothing says that its content is at fault.
    `status`: what it answered, None where that is not known.
    """

    table = ErrorTable.FHIR

    def __init__(self, message: str, *, may_be_limit: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.may_be_limit = may_be_limit
        self.status = status


class StudyTooLargeError(FhirRefusedError):
    """The FHIR server takes no resource of this size (413). Fate: its instances are counted, not listed."""


class DeleteRefusedError(FhirRefusedError):
    """The FHIR server keeps what DICOM has no more, as others link to it. Fate: it stays, marked, without content."""


class UnforeseenError(EntryError):
    """What nobody foresaw, while FHIR's answers were merged or sent. `name`: the exception's class, never its text.

    `frames` are its traceback's, as `file:line in function`.
    """

    table = ErrorTable.FHIR
    phase: ClassVar[str] = "while the study was merged or sent"

    def __init__(self, name: str, frames: Sequence[str]) -> None:
        self.name = name
        self.frames = frames
        super().__init__(f"unforeseen {name} {self.phase}: report it; the log has the traceback")


class UnforeseenMappingError(UnforeseenError):
    """The same, while an entry was mapped."""

    table = ErrorTable.DICOM
    phase = "while the entry was mapped"


class UnforeseenTickError(UnforeseenError):
    """The same, where no study, entry or replay is to blame: the tick ends, the next one meets it again."""

    phase = "outside of any study"


class PagingError(EntryError):
    """The pages of a search cannot be followed: they lead to another host, or have no end."""

    table = ErrorTable.FHIR


class EndpointMismatchError(EntryError):
    """An Endpoint of our name has another address."""

    table = ErrorTable.FHIR


class TransientError(DicomCastError):
    """A passing fault (408, 429, 5xx, connection, time-out). Fate: tried again.

    `retry_after_seconds` is what the server asked for, None where it did not. `status`: what it answered to a
    transaction, None where it answered nothing, or to something else.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.status = status


class ThrottledError(TransientError):
    """The server has more requests than it takes (429). Fate: tried again, and fewer at once."""


class OutOfTimeError(TransientError):
    """The time for the tick, or for the question, is over. It says nothing of who was asked last."""


class ConflictError(TransientError):
    """Somebody else wrote between our read and our write (412, 409)."""


class UnreadStudyError(TransientError):
    """The archive's account of one study cannot be had, or contradicts itself, while the feed can be read."""


class OutageError(DicomCastError):
    """A whole system is down or refuses us (unreachable, 401, 403). Fate: the tick ends, nothing is skipped.

    The message of a fault that became an outage names the system already; it is said once. `status`: of an answer that
    says that the server cannot answer now (5xx, 429 and the like), None where there was none.
    """

    def __init__(self, system: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"{system}: {message.removeprefix(f'{system}: ')}")
        self.system = system
        self.status = status


class ForbiddenError(OutageError):
    """403: the server refuses us, or what stands before it (a web application firewall) this one request."""


class IncompatibleServerError(OutageError):
    """The FHIR server is not R4 or takes no transactions: nothing can be synced to it."""


class LeaseLostError(DicomCastError):
    """The lease or the watermark's ETag is no longer ours. Fate: stop; the other host goes on."""
