"""Requests to a FHIR server and its answers as JSON. Faults are raised as named errors."""

import requests

from shared.clients.fhir.faults import fault_of
from shared.clients.fhir.probe import Probe
from shared.clients.http import HttpService
from shared.clients.http_answer import Answer
from shared.clients.json_body import json_bytes, json_of
from shared.errors import FhirRefusedError, ForbiddenError, OverlongAnswerError, TransientError
from shared.model.fhir import Resource
from shared.model.options import BundleProcessing

FHIR_JSON = "application/fhir+json"
BUNDLE_PROCESSING = "x-bundle-processing-logic"
"""A header of Azure's FHIR service, with the value `parallel` or `sequential`."""
TO_POST_A_BUNDLE = ("POST", "")


class Exchange:
    """Sends requests to one server. A path begins with a slash, or is a whole URL on the server's own origin."""

    def __init__(self, service: HttpService, processing: BundleProcessing = BundleProcessing.SERVER) -> None:
        self.service = service
        self._bundle_headers = {} if processing is BundleProcessing.SERVER else {BUNDLE_PROCESSING: processing.value}
        self.probe = Probe(service)

    @property
    def name(self) -> str:
        """The server's name in error messages."""
        return self.service.name

    @property
    def url(self) -> str:
        """The server's base URL, without a slash at its end."""
        return self.service.url

    def json(self, method: str, path: str, body: Resource | None = None, form: str | None = None) -> Resource:
        """The JSON object in the answer to a request that writes nothing. `form`: a query that is sent in the body."""
        sent = json_bytes(body) if body else form.encode() if form else None
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        return self.content(self.send(method, path, body=sent, headers=kind))

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        writes: bool = False,
    ) -> Answer:
        """The answer, whatever its status, except for those that HttpService raises as errors.

        The headers keep caches from answering, as a search would then lack what was written since. After a 403 the
        server is probed and the request is sent once more. If the probe passes and the answer is 403 again, only this
        request is refused, and FhirRefusedError is raised. `writes`: whether the probe tries a write too.
        """
        all_headers = {"Accept": FHIR_JSON, "Cache-Control": "no-cache"}
        all_headers |= {"Content-Type": FHIR_JSON} if body else {}
        all_headers |= self._bundle_headers if (method, path) == TO_POST_A_BUNDLE else {}
        all_headers |= headers or {}
        try:
            return self._send(method, path, body, all_headers)
        except ForbiddenError:
            self.probe.run(writes=writes)
        try:
            return self._send(method, path, body, all_headers)
        except ForbiddenError as error:
            refused = f"{error}. But other requests are answered: what stands before the server may refuse this one"
            raise FhirRefusedError(refused, status=requests.codes.forbidden) from error

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        try:
            return self.service.send(method, path, body=body, headers=headers)
        except OverlongAnswerError as error:  # a retry would get the same answer
            raise FhirRefusedError(str(error)) from error

    def content(self, answer: Answer) -> Resource:
        """The JSON object in an answer. Raises TransientError, FhirRefusedError."""
        if answer.status_code >= requests.codes.bad_request:
            raise fault_of(self.name, answer)
        try:
            content = json_of(answer)
        except ValueError as error:
            raise TransientError(f"{self.name}: {error}") from None
        if not isinstance(content, dict):
            raise TransientError(f"{self.name}: the answer is not a JSON object")
        return content
