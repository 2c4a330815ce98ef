"""What an OperationOutcome says, as far as it cannot hold what a patient's record does (operationoutcome.html).

Servers quote what they refuse, in the issues' words, and as well in a code or a path. So only what is on a list here is
told: codes of FHIR's value sets, paths made of the elements of what we send, HAPI's numbers of its messages, and
resources by type and an id as servers make them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.clients.fhir.resource_types import RESOURCE_TYPES
from shared.model.fhir import Resource

SEVERITIES = frozenset(("fatal", "error", "warning", "information"))
"""http://hl7.org/fhir/R4/valueset-issue-severity.html"""
CODES = frozenset(
    """
    invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly business-rule
    conflict transient lock-error no-store exception timeout incomplete throttled informational
    """.split()  # noqa: SIM905 a list would be a word a line
)
"""http://hl7.org/fhir/R4/valueset-issue-type.html"""
ELEMENTS = frozenset(
    """
    active actor address age appliesTo assigner author authorReference authorString basedOn birthDate bodySite
    category city code coding communication comparator component connectionType contact contained contentType
    country creation data dataAbsentReason deceased deceasedBoolean deceasedDateTime denominator derivedFrom
    description device dimensions display district div effective effectiveDateTime effectiveInstant
    effectivePeriod effectiveTiming encounter end endpoint entry etag extension factor family focus fullUrl
    function gender generalPractitioner given hasMember hash header high id identifier ifMatch ifModifiedSince
    ifNoneExist ifNoneMatch implicitRules instance interpretation interpreter issued language lastModified
    lastUpdated laterality line link location low lowerLimit managingOrganization maritalStatus meta method
    modality mode modifierExtension multipleBirth multipleBirthBoolean multipleBirthInteger name note number
    numberOfInstances numberOfSeries numerator organization origin other outcome partOf payloadMimeType
    payloadType performer period photo postalCode preferred prefix procedureCode procedureReference profile
    rank reasonCode reasonReference reference referenceRange referrer relation relationship request resource
    response score search security series signature size sopClass source specimen start started state status
    subject suffix system tag telecom text time timestamp title total type uid unit upperLimit url use
    userSelected value version versionId
    """.split()  # noqa: SIM905 a list would be a word a line
)
"""Of Bundle, Patient, Endpoint, ImagingStudy, Observation and their data types; choices of `value` apart."""

_PART = re.compile(r"(?:f:)?([A-Za-z]{1,40})(?:\[\d{1,6}\])?")
_OF_TYPE = re.compile(r"ofType\(([A-Za-z]{1,40})\)")
_CHOICE = re.compile(
    r"value(?:Boolean|CodeableConcept|Code|Coding|DateTime|Integer|Period|Quantity|Range|Ratio|Reference|SampledData"
    r"|String|Time|Uri)"
)
_LINE = re.compile(r"Line\[\d{1,9}\],? Col\[\d{1,9}\]")
_COMMENT = re.compile(r"/\*[^*]{0,200}\*/")
"""HAPI's validator names the resource in one: `Bundle.entry[0].resource/*Patient/7*/.birthDate`."""
_NUMBERS = re.compile(r"(?:HAPI-[0-9]{4}: )+")
"""HAPI's numbers of its messages, which begin with them. Elsewhere in the words `HAPI-4711` may be a patient's."""
_NAMED = re.compile(
    r"\b((?:[A-Z][a-z]+){1,4})/([0-9]{1,19}|[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-]|\.\w)"
)
"""What may be a resource that the words name: what links to another is told by servers in words only."""
_MOST = 5
"""Of the issues, and of each one's places and numbers."""
_LONGEST_PLACE = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """Of an OperationOutcome. `text` has codes, places and numbers.

    `has_places`: an issue points into what was sent, whether or not the place is told. `references`: resources that it
    names.
    """

    text: str = ""
    has_places: bool = False
    references: tuple[str, ...] = ()


def refusal_of(content: Any) -> Refusal:
    """Of what came with an error; empty where it is no OperationOutcome."""
    if not isinstance(content, dict) or content.get("resourceType") != "OperationOutcome":
        return Refusal()
    issues = [one for one in _listed(content.get("issue")) if isinstance(one, dict)]
    told = _some(filter(None, map(_told, issues)), "; ")
    named = [f"{kind}/{id_}" for one in issues for kind, id_ in _NAMED.findall(_words(one)) if kind in RESOURCE_TYPES]
    has_places = any(True for one in issues for _ in _places(one))
    return Refusal(f": {told}" if told else "", has_places, tuple(dict.fromkeys(named)))


def _told(issue: Resource) -> str:
    said = [_of(SEVERITIES, issue.get("severity")), _of(CODES, issue.get("code")), *_numbers(issue)]
    places = _some(filter(None, map(_place, _places(issue))), ", ")
    return " ".join([*list(dict.fromkeys(filter(None, said)))[: _MOST + 2], *([f"at {places}"] if places else [])])


def _of(known: frozenset[str], value: Any) -> str:
    return value if isinstance(value, str) and value in known else ""


def _numbers(issue: Resource) -> Iterator[str]:
    for text in _texts(issue):
        if begins := _NUMBERS.match(text):
            yield from begins[0].removesuffix(": ").split(": ")


def _words(issue: Resource) -> str:
    return " ".join(_texts(issue))


def _texts(issue: Resource) -> list[str]:
    details = issue.get("details")
    said = [issue.get("diagnostics"), details.get("text") if isinstance(details, dict) else None]
    return [one for one in said if isinstance(one, str)]


def _places(issue: Resource) -> Iterator[str]:
    said = issue.get("expression") or issue.get("location")
    return (one for one in _listed(said) if isinstance(one, str))


def _place(said: str) -> str:
    """The path, empty where a part of it is none of the elements; an index is one of a list."""
    path = _COMMENT.sub("", said).strip()
    if len(path) > _LONGEST_PLACE:
        return ""
    parts = path.removeprefix("/").replace("/", ".").split(".")
    return path if _LINE.fullmatch(path) or all(map(_is_part, parts)) else ""


def _is_part(part: str) -> bool:
    if of_type := _OF_TYPE.fullmatch(part):
        return of_type[1] in RESOURCE_TYPES
    name = _PART.fullmatch(part)
    return name is not None and (name[1] in ELEMENTS | RESOURCE_TYPES or _CHOICE.fullmatch(name[1]) is not None)


def _some(found: Iterable[str], between: str) -> str:
    """The first of them, each once; the rest is counted."""
    each = list(dict.fromkeys(found))
    rest = [f"and {len(each) - _MOST} more"] if len(each) > _MOST else []
    return between.join(each[:_MOST] + rest)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
