"""Searches by POST, whose query is a form in the body: `POST [type]/_search` (FHIR R4, search.html#Introduction)."""

import requests

from shared.clients.fhir import answers
from shared.clients.fhir.capabilities import LearnedCapabilities
from shared.clients.fhir.exchange import Exchange
from shared.errors import FhirRefusedError, TransientError
from shared.model.fhir import Resource

_ANY = "_count=2&_elements=id"
_NOT_TAKEN = frozenset({requests.codes.not_found, requests.codes.method_not_allowed, requests.codes.not_implemented})


class Forms:
    """Searches by POST. Whether the server heeds the form is tried before the first one, and remembered."""

    def __init__(self, exchange: Exchange, learned: LearnedCapabilities) -> None:
        self._exchange = exchange
        self._learned = learned

    def search(self, resource_type: str, query: str) -> Resource | None:
        """The first page; None if the server takes no forms, and the caller has to use GET. Raises as a GET does."""
        if self._learned.known.post_searches is None:
            self._try()
        is_taken = self._learned.known.post_searches
        if is_taken is False:
            return None
        try:
            return self._send(resource_type, query)
        except FhirRefusedError as error:
            if error.status in _NOT_TAKEN:
                self._learned.learn(post_searches=False)
            elif is_taken:
                raise
            return None

    def _try(self) -> None:
        """Tries whether forms are heeded, by a search for one of two Patients by its id.

        A server that ignores the form finds both, or none, and would make a study seem to be missing. If the server
        does not have two Patients, nothing is learned yet.
        """
        try:
            held = self._ids(self._exchange.json("GET", f"/Patient?{_ANY}"))
            is_heeded = self._ids(self._send("Patient", f"_id={held[0]}&{_ANY}")) == held[:1] if held else True
        except FhirRefusedError as error:
            self._learned.learn_refusal(error, post_searches=False)
        else:
            if len(held) > 1 or not is_heeded:
                self._learned.learn(post_searches=is_heeded)

    def _send(self, resource_type: str, query: str) -> Resource:
        return self._exchange.json("POST", f"/{resource_type}/_search", form=query)

    def _ids(self, bundle: Resource) -> list[str]:
        try:
            return [str(one["id"]) for one in answers.page_of(bundle, "Patient").resources]
        except ValueError as error:
            raise TransientError(f"{self._exchange.name}: the answer to a search for Patient: {error}") from None
