"""Hostile servers, one kind after the other: what they answer where one study is asked about, or for one tick to all.

`Hostility` is a kind. Both proxies ask it: the FHIR server's as a manner, the DICOM service's by `answer`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.integration.faults.proxy import Handler, OnSocketError, Proxy
from tests.integration.manners.proxy import Answer, PassOn, Request
from tests.raw_server import HEAD, Script, dripping, endless, silent

Raw = tuple[int, dict[str, str], bytes]
"""Status, headers and content of an answer."""
Dicom = Callable[[str, str, Callable[[], Raw], str], Raw]
"""The answer to a method and path, what the real service answers, and the bad study's UID."""
Fhir = Callable[[Request, PassOn, str], Answer]
"""The same of a FHIR request; the last is the word that the bad study's requests have in them."""


@dataclass(frozen=True)
class Hostility:
    """`is_for_all`: for one tick to every request, else to those about the bad study, for good.

    `after_update`: the bad study is in FHIR already, and an update of it makes the app read the archive. `is_slow`: it
    is the time of an answer that ends it.
    """

    name: str
    fhir: Fhir | None = None
    dicom: Dicom | None = None
    is_for_all: bool = False
    after_update: bool = False
    is_slow: bool = False


class HostileProxy(Proxy):
    """Before the DICOM service; `hostility` None: it passes everything on."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream, _HostileHandler)
        self.hostility: Dicom | None = None
        self.bad = ""


class _HostileHandler(Handler):
    server: HostileProxy

    def passed_on(self, body: bytes) -> Raw:
        hostile = self.server.hostility
        if hostile is None:
            return super().passed_on(body)
        return hostile(self.command, self.path, lambda: super(_HostileHandler, self).passed_on(body), self.server.bad)


# The DICOM service's


def archive_answers(status: int, content: bytes = b"") -> Dicom:
    """To every question about the bad study by WADO-RS or QIDO-RS."""

    def answer(_method: str, path: str, real: Callable[[], Raw], bad: str) -> Raw:
        return (status, {"Content-Type": "application/dicom+json"}, content) if f"/studies/{bad}/" in path else real()

    return answer


def archive_does(script: Script) -> Dicom:
    """The same, with the connection."""

    def answer(_method: str, path: str, real: Callable[[], Raw], bad: str) -> Raw:
        if f"/studies/{bad}/" in path:
            raise OnSocketError(script)
        return real()

    return answer


def archive_redirects(_method: str, path: str, real: Callable[[], Raw], bad: str) -> Raw:
    return (302, {"Location": "/elsewhere"}, b"") if f"/studies/{bad}/" in path else real()


def everything_does(script: Script) -> Dicom:
    def answer(_method: str, _path: str, _real: Callable[[], Raw], _bad: str) -> Raw:
        raise OnSocketError(script)

    return answer


def feed_answers(status: int) -> Dicom:
    """To every window with metadata that the bad study's entry is in."""

    def answer(_method: str, path: str, real: Callable[[], Raw], bad: str) -> Raw:
        told = real()
        is_bad = "changefeed" in path and "includeMetadata=false" not in path and bad.encode() in told[2]
        return (status, {}, b"") if is_bad else told

    return answer


def feed_tells(**fields: Any) -> Dicom:
    """Of the bad study's entries, in place of what is right."""

    def answer(_method: str, path: str, real: Callable[[], Raw], bad: str) -> Raw:
        status, headers, content = real()
        if status != 200 or not re.search(r"/changefeed(\?|$)", path):
            return status, headers, content
        entries = [one | fields if one["StudyInstanceUid"] == bad else one for one in json.loads(content)]
        return status, headers, json.dumps(entries).encode()

    return answer


def everything_answers(status: int, content: bytes = b"") -> Dicom:
    return lambda _method, _path, _real, _bad: (status, {"Content-Type": "application/json"}, content)


# The FHIR server's


def requests_answer(status: int, fits: Callable[[Request], bool]) -> Fhir:
    """To each request that fits and has the word in it."""

    def answer(request: Request, pass_on: PassOn, word: str) -> Answer:
        is_bad = fits(request) and word in f"{request.path} {request.body}"
        return Answer(status) if is_bad else pass_on(request)

    return answer


def requests_redirect(request: Request, pass_on: PassOn, word: str) -> Answer:
    """To all that has the word in it."""
    is_bad = word in f"{request.path} {request.body}"
    return Answer(307, headers={"location": "/fhir/elsewhere"}) if is_bad else pass_on(request)


def requests_meet(script: Script, fits: Callable[[Request], bool]) -> Fhir:
    """Each request that fits and has the word in it meets what is done with its connection."""

    def answer(request: Request, pass_on: PassOn, word: str) -> Answer:
        if fits(request) and word in f"{request.path} {request.body}":
            raise OnSocketError(script)
        return pass_on(request)

    return answer


def all_meet(script: Script) -> Fhir:
    def answer(_request: Request, _pass_on: PassOn, _word: str) -> Answer:
        raise OnSocketError(script)

    return answer


def found_is(odd: Callable[[dict[str, Any]], Any]) -> Fhir:
    """What a search finds of the bad study is changed."""

    def answer(request: Request, pass_on: PassOn, word: str) -> Answer:
        told = pass_on(request)
        if not any(word in json.dumps(one) for one in told.found):
            return told
        return told.with_found([odd(one) if word in json.dumps(one) else one for one in told.found])

    return answer


def all_answer(status: int, body: Any = None) -> Fhir:
    return lambda request, pass_on, word: pass_on(request) if request.is_statement else Answer(status, body)


def is_search(request: Request) -> bool:
    return request.is_search or request.is_batch


def is_transaction(request: Request) -> bool:
    return request.is_transaction


def any_request(_request: Request) -> bool:
    return True


SCRIPTS: dict[str, Script] = {
    "silent": silent,
    "dripping": dripping(HEAD + b"Content-Length: 100000\r\n\r\n"),
    "dripping headers": dripping(HEAD + b"X-Long:"),
    "endless": endless(HEAD + b"Connection: close\r\n\r\n"),
}

HOSTILITIES = [
    *(Hostility(f"FHIR: {code} to its searches", fhir=requests_answer(code, is_search)) for code in (400, 403, 404, 410, 414, 422, 500, 503)),
    *(Hostility(f"FHIR: {code} to its transactions", fhir=requests_answer(code, is_transaction)) for code in (400, 403, 404, 409, 412, 413, 422, 429, 500, 503)),
    Hostility("FHIR: 403 to all about it", fhir=requests_answer(403, any_request)),
    Hostility("FHIR: a series without uid", fhir=found_is(lambda one: one | {"series": [{"modality": None}, None]}), after_update=True),
    Hostility("FHIR: lists that are none", fhir=found_is(lambda one: one | {"identifier": 7, "link": {}, "series": "x"}), after_update=True),
    Hostility("FHIR: no version", fhir=found_is(lambda one: one | {"meta": {"versionId": None}}), after_update=True),
    *(Hostility(f"DICOM: {code} to all about it", dicom=archive_answers(code), after_update=True) for code in (400, 403, 404, 406, 429, 500, 503)),
    Hostility("DICOM: no JSON about it", dicom=archive_answers(200, b"<html>"), after_update=True),
    Hostility("DICOM: odd JSON about it", dicom=archive_answers(200, b'[{"0020000E": {"Value": {"a": 1}}}]'), after_update=True),
    *(Hostility(f"DICOM: {code} to its window", dicom=feed_answers(code)) for code in (404, 424, 500)),
    Hostility("DICOM: an entry without action", dicom=feed_tells(Action=None)),
    Hostility("DICOM: metadata that is none", dicom=feed_tells(Metadata=[1])),
    Hostility("DICOM: tags that are none", dicom=feed_tells(Metadata={"00100020": [7], "0020000D": {"Value": "x"}})),
    *(Hostility(f"FHIR: {code} to all", fhir=all_answer(code), is_for_all=True) for code in (401, 403, 404, 429, 500, 503)),
    Hostility("FHIR: no resource to all", fhir=all_answer(200, [1]), is_for_all=True),
    *(Hostility(f"DICOM: {code} to all", dicom=everything_answers(code), is_for_all=True) for code in (401, 403, 404, 429, 500, 503)),
    Hostility("DICOM: odd JSON to all", dicom=everything_answers(200, b'[{"Sequence": "x"}]'), is_for_all=True),
    Hostility("FHIR: a redirect to all about it", fhir=requests_redirect),
    Hostility("DICOM: a redirect to all about it", dicom=archive_redirects, after_update=True),
    *(Hostility(f"FHIR: {name} to its searches", fhir=requests_meet(script, is_search), is_slow=True) for name, script in SCRIPTS.items()),
    *(Hostility(f"FHIR: {name} to its transactions", fhir=requests_meet(script, is_transaction), is_slow=True) for name, script in SCRIPTS.items()),
    *(Hostility(f"FHIR: {name} to all", fhir=all_meet(script), is_for_all=True, is_slow=True) for name, script in SCRIPTS.items()),
    *(Hostility(f"DICOM: {name} to all about it", dicom=archive_does(script), after_update=True, is_slow=True) for name, script in SCRIPTS.items()),
    *(Hostility(f"DICOM: {name} to all", dicom=everything_does(script), is_for_all=True, is_slow=True) for name, script in SCRIPTS.items()),
]  # fmt: skip
