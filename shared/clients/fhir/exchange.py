"""Requests to a FHIR server and its answers as JSON; what went wrong is a named error."""

import requests

from shared.clients.fhir.faults import fault_of
from shared.clients.fhir.probe import Probe
from shared.clients.http import Answer, HttpService
from shared.clients.json_body import json_bytes, json_of
from shared.errors import FhirRefusedError, ForbiddenError, OverlongAnswerError, TransientError
from shared.model.fhir import Resource
from shared.model.options import BundleProcessing

FHIR_JSON = "application/fhir+json"
BUNDLE_PROCESSING = "x-bundle-processing-logic"
"""Azure's FHIR service knows this header: `parallel` or `sequential`."""
TO_POST_A_BUNDLE = ("POST", "")


class Exchange:
    """With one server. Paths begin with a slash, or are whole URLs on the server's own origin."""

    def __init__(self, service: HttpService, processing: BundleProcessing = BundleProcessing.SERVER) -> None:
        self.service = service
        self._of_bundles = {} if processing is BundleProcessing.SERVER else {BUNDLE_PROCESSING: processing.value}
        self.probe = Probe(service)

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.service.name

    @property
    def url(self) -> str:
        """Its base URL, without a slash at its end."""
        return self.service.url

    def json(self, method: str, path: str, body: Resource | None = None, form: str | None = None) -> Resource:
        """The answer to a request that changes nothing. `form`: a query that is sent in the body."""
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
        """Servers may answer a search from memory, for a minute: what was written since would be missing.

        What is answered 403 again, while others of its kind are answered, is refused itself.
        """
        said = {"Accept": FHIR_JSON, "Cache-Control": "no-cache"}
        said |= {"Content-Type": FHIR_JSON} if body else {}
        said |= self._of_bundles if (method, path) == TO_POST_A_BUNDLE else {}
        said |= headers or {}
        try:
            return self._sent(method, path, body, said)
        except ForbiddenError:
            self.probe.run(writes=writes)
        try:
            return self._sent(method, path, body, said)
        except ForbiddenError as error:
            refused = f"{error}. But other requests are answered: what stands before the server may refuse this one"
            raise FhirRefusedError(refused, status=requests.codes.forbidden) from error

    def _sent(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        try:
            return self.service.send(method, path, body=body, headers=headers)
        except OverlongAnswerError as error:  # the same question would be answered in the same way
            raise FhirRefusedError(str(error)) from error

    def content(self, answer: Answer) -> Resource:
        """The JSON object. Raises TransientError, FhirRefusedError."""
        if answer.status_code >= requests.codes.bad_request:
            raise fault_of(self.name, answer)
        try:
            content = json_of(answer)
        except ValueError as error:
            raise TransientError(f"{self.name}: {error}") from None
        if not isinstance(content, dict):
            raise TransientError(f"{self.name}: the answer is not a JSON object")
        return content
