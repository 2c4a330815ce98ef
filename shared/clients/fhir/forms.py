"""Searches whose query is in the body: `POST [type]/_search` with a form (FHIR R4, search.html#Introduction)."""

import requests

from shared.clients.fhir import answers
from shared.clients.fhir.capabilities import LearnedCapabilities
from shared.clients.fhir.exchange import Exchange
from shared.errors import FhirRefusedError, TransientError
from shared.model.fhir import Resource

_ANY = "_count=2&_elements=id"
_NOT_TAKEN = frozenset({requests.codes.not_found, requests.codes.method_not_allowed, requests.codes.not_implemented})


class Forms:
    """What the server makes of a form is tried before one counts, and remembered."""

    def __init__(self, exchange: Exchange, learned: LearnedCapabilities) -> None:
        self._exchange = exchange
        self._learned = learned

    def search(self, resource_type: str, query: str) -> Resource | None:
        """The first page; None: the server does not take forms, so GET is what is left. Raises as a GET does."""
        if self._learned.known.post_searches is None:
            self._try()
        is_taken = self._learned.known.post_searches
        if is_taken is False:
            return None
        try:
            return self._sent(resource_type, query)
        except FhirRefusedError as error:
            if error.status in _NOT_TAKEN:
                self._learned.learn(post_searches=False)
            elif is_taken:
                raise
            return None

    def _try(self) -> None:
        """By a search for one Patient of two, by id: a server that ignores the form finds both, or none.

        It would make a study seem to be nowhere. Where there are no two Patients it shows nothing yet.
        """
        try:
            held = self._ids(self._exchange.json("GET", f"/Patient?{_ANY}"))
            is_heeded = self._ids(self._sent("Patient", f"_id={held[0]}&{_ANY}")) == held[:1] if held else True
        except FhirRefusedError as error:
            self._learned.learn_refusal(error, post_searches=False)
        else:
            if len(held) > 1 or not is_heeded:
                self._learned.learn(post_searches=is_heeded)

    def _sent(self, resource_type: str, query: str) -> Resource:
        return self._exchange.json("POST", f"/{resource_type}/_search", form=query)

    def _ids(self, bundle: Resource) -> list[str]:
        try:
            return [str(one["id"]) for one in answers.page_of(bundle, "Patient").resources]
        except ValueError as error:
            raise TransientError(f"{self._exchange.name}: the answer to a search for Patient: {error}") from None
