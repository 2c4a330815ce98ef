"""What an OperationOutcome says, without anything that may be a patient's value (operationoutcome.html).

Servers quote what they refuse in an issue's text, and also in a code or a path. So only what is on a list here is
passed on: codes of FHIR's value sets, paths made of elements of the resources that the app sends, HAPI's message
numbers, and references of a known type whose id has a form that servers assign.
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
"""Elements of Bundle, Patient, Endpoint, ImagingStudy, Observation and their data types, except for `value[x]`."""

_PART = re.compile(r"(?:f:)?([A-Za-z]{1,40})(?:\[\d{1,6}\])?")
_OF_TYPE = re.compile(r"ofType\(([A-Za-z]{1,40})\)")
_CHOICE = re.compile(
    r"value(?:Boolean|CodeableConcept|Code|Coding|DateTime|Integer|Period|Quantity|Range|Ratio|Reference|SampledData"
    r"|String|Time|Uri)"
)
_LINE = re.compile(r"Line\[\d{1,9}\],? Col\[\d{1,9}\]")
_COMMENT = re.compile(r"/\*[^*]{0,200}\*/")
"""HAPI's validator names the resource in a comment: `Bundle.entry[0].resource/*Patient/7*/.birthDate`."""
_NUMBERS = re.compile(r"(?:HAPI-[0-9]{4}: )+")
"""The message numbers with which HAPI's texts begin. Later in a text `HAPI-4711` may be a patient's identifier."""
_REFERENCE = re.compile(
    r"\b((?:[A-Z][a-z]+){1,4})/([0-9]{1,19}|[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-]|\.\w)"
)
"""What may be a reference in an issue's text, as servers name there the resources that refer to another."""
_MOST = 5
"""Issues that are passed on, and paths and numbers of each."""
_LONGEST_PATH = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is passed on of an OperationOutcome. `text` has codes, paths and numbers.

    `has_paths`: an issue has a path into what was sent, even if the path is not passed on. `references`: resources that
    the issues name.
    """

    text: str = ""
    has_paths: bool = False
    references: tuple[str, ...] = ()


def refusal_of(content: Any) -> Refusal:
    """The Refusal out of an error's body; empty if that is not an OperationOutcome."""
    if not isinstance(content, dict) or content.get("resourceType") != "OperationOutcome":
        return Refusal()
    issues = [one for one in _list_or_none(content.get("issue")) if isinstance(one, dict)]
    text = _first_of(filter(None, map(_issue_text, issues)), "; ")
    references = [
        f"{resource_type}/{id_}"
        for one in issues
        for resource_type, id_ in _REFERENCE.findall(" ".join(_texts(one)))
        if resource_type in RESOURCE_TYPES
    ]
    return Refusal(f": {text}" if text else "", any(map(_paths, issues)), tuple(dict.fromkeys(references)))


def _issue_text(issue: Resource) -> str:
    codes = [_if_known(issue.get("severity"), SEVERITIES), _if_known(issue.get("code"), CODES), *_numbers(issue)]
    paths = _first_of(filter(None, map(_if_known_path, _paths(issue))), ", ")
    return " ".join([*list(dict.fromkeys(filter(None, codes)))[: _MOST + 2], *([f"at {paths}"] if paths else [])])


def _if_known(value: Any, known: frozenset[str]) -> str:
    return value if isinstance(value, str) and value in known else ""


def _numbers(issue: Resource) -> Iterator[str]:
    for text in _texts(issue):
        if begins := _NUMBERS.match(text):
            yield from begins[0].removesuffix(": ").split(": ")


def _texts(issue: Resource) -> list[str]:
    details = issue.get("details")
    texts = [issue.get("diagnostics"), details.get("text") if isinstance(details, dict) else None]
    return [one for one in texts if isinstance(one, str)]


def _paths(issue: Resource) -> list[str]:
    paths = issue.get("expression") or issue.get("location")
    return [one for one in _list_or_none(paths) if isinstance(one, str)]


def _if_known_path(stated: str) -> str:
    """The path without comments; empty if a part of it is not a known element, with or without an index."""
    path = _COMMENT.sub("", stated).strip()
    if len(path) > _LONGEST_PATH:
        return ""
    parts = path.removeprefix("/").replace("/", ".").split(".")
    return path if _LINE.fullmatch(path) or all(map(_is_part, parts)) else ""


def _is_part(part: str) -> bool:
    if of_type := _OF_TYPE.fullmatch(part):
        return of_type[1] in RESOURCE_TYPES
    name = _PART.fullmatch(part)
    return name is not None and (name[1] in ELEMENTS | RESOURCE_TYPES or _CHOICE.fullmatch(name[1]) is not None)


def _first_of(found: Iterable[str], between: str) -> str:
    """The first five, each once, and the number of the rest."""
    each = list(dict.fromkeys(found))
    rest = [f"and {len(each) - _MOST} more"] if len(each) > _MOST else []
    return between.join(each[:_MOST] + rest)


def _list_or_none(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
