"""What a FHIR server does if R4 leaves it a choice: stated in its metadata, tried, or seen in what it refuses."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any

import requests

from shared.clients.fhir.answers import CapabilityStatement
from shared.errors import FhirRefusedError
from shared.model.fhir import Resource

MAX_ENTRIES = 500
"""Entries of one transaction: Azure's FHIR service takes no more."""
FORGOTTEN_AFTER_SECONDS = 3600
"""After this time a limit or a refusal is forgotten and tried again, as the server may be configured differently."""
_TRIED_AGAIN = frozenset({"batches", "post_searches", "joined_searches"})


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of one kind of transaction, in entries.

    `taken`: the size of the largest one that was taken. `refused`: that of the smallest one that was too large, if any.
    """

    taken: int = 0
    refused: int | None = None

    @property
    def most(self) -> int:
        """The most entries that one may have by what is known."""
        return MAX_ENTRIES if self.refused is None else max(1, min(self.taken, self.refused - 1))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is known of one server; None if it is not known yet.

    `conditional` and `plain` are the limits of transactions with and without `ifNoneExist`. `page_size` is the number
    of resources on the largest page that was followed by another.
    """

    fhir_version: str | None = None
    software: str | None = None
    base: str | None = None
    batches: bool | None = None
    post_searches: bool | None = None
    joined_searches: bool | None = None
    versions_in_searches: bool | None = None
    source_kept: bool | None = None
    tag_kept: bool | None = None
    conflict_status: int | None = None
    delete_if_match: bool | None = None
    deleted_kept: bool | None = None
    page_size: int | None = None
    conditional: Limit = field(default_factory=Limit)
    plain: Limit = field(default_factory=Limit)

    def limit(self, *, conditional: bool) -> Limit:
        """The limit of one kind of transaction."""
        return self.conditional if conditional else self.plain


class LearnedCapabilities:
    """The record of one server as it grows over the life of the process. Threads may share it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = RLock()
        self._known = Capabilities()
        self._refused_at: dict[str, float] = {}

    @property
    def known(self) -> Capabilities:
        """The record as it is now, without refusals that are older than an hour."""
        if not self._refused_at:  # without the lock: all workers read this, several times for each study
            return self._known
        with self._lock:
            for name, at in list(self._refused_at.items()):
                if self._monotonic() - at > FORGOTTEN_AFTER_SECONDS:
                    del self._refused_at[name]
                    was = getattr(self._known, name)
                    forgotten: Any = replace(was, refused=None) if isinstance(was, Limit) else None
                    self._known = replace(self._known, **{name: forgotten})
            return self._known

    def learn_from_statement(self, statement: CapabilityStatement) -> None:
        """Takes down what the server states of itself. What it was seen to do takes precedence."""
        self.learn(fhir_version=statement.fhir_version, software=statement.software, base=statement.base)
        if statement.batches and self.known.batches is None:
            self.learn(batches=True)

    def learn(self, **seen: Any) -> None:
        """Sets fields of the record by their names."""
        with self._lock:
            self._known = replace(self._known, **seen)
            for name, value in seen.items():
                if value is False and name in _TRIED_AGAIN:
                    self._refused_at[name] = self._monotonic()

    def learn_refusal(self, error: FhirRefusedError, **refused: bool) -> None:
        """Sets these fields, which say what was refused.

        Nothing is learned from a 403 or from an answer that is too long: these are due to what was asked for, not to
        the form of the request.
        """
        if error.status not in (None, requests.codes.forbidden):
            self.learn(**refused)

    def learn_taken(self, size: int, *, conditional: bool) -> None:
        """Takes down that a transaction of `size` entries was applied."""
        with self._lock:
            limit = self._known.limit(conditional=conditional)
            if size > limit.taken:
                self.learn(**{_kind(conditional): replace(limit, taken=size)})

    def learn_too_many(self, size: int, *, conditional: bool) -> None:
        """Takes down that a transaction of `size` entries was refused, and then its parts were taken."""
        with self._lock:
            limit = self.known.limit(conditional=conditional)
            self._refused_at[_kind(conditional)] = self._monotonic()
            self.learn(**{_kind(conditional): replace(limit, refused=min(size, limit.refused or size))})

    def learn_from_matches(self, resources: list[Resource]) -> None:
        """Takes down whether the resources that a search finds come with their versions."""
        if resources and self._known.versions_in_searches is None:
            meta = resources[0].get("meta")
            self.learn(versions_in_searches=isinstance(meta, dict) and "versionId" in meta)


def _kind(conditional: bool) -> str:
    return "conditional" if conditional else "plain"


def capability_texts(known: Capabilities) -> dict[str, str]:
    """The record as texts by name, for the self-check, the status and the page."""
    return {
        "software": known.software or "not told",
        "FHIR version": known.fhir_version or _NOT_YET,
        "batches of searches": _choice(known.batches, "taken", "refused"),
        "searches of several values": _choice(known.joined_searches, "taken", "refused"),
        "searches by POST": _choice(known.post_searches, "taken", "refused, or their form is ignored"),
        "versions in searches": _choice(known.versions_in_searches, "told", "not told: resources are read one by one"),
        "meta.source": _choice(known.source_kept, "kept", "dropped"),
        "meta.tag": _choice(known.tag_kept, "kept", "dropped"),
        "answer to a stale If-Match": str(known.conflict_status or _NOT_YET),
        "If-Match on DELETE": _choice(known.delete_if_match, "heeded", "ignored: what goes is updated first"),
        "update of what was deleted": _choice(known.deleted_kept, "refused", "makes it again"),
        "entries of a transaction with creates": _limit_text(known.conditional),
        "entries of a transaction of updates": _limit_text(known.plain),
        "page of a search": str(known.page_size or _NOT_YET),
    }


_NOT_YET = "not seen yet"


def _choice(seen: bool | None, yes: str, no: str) -> str:
    return _NOT_YET if seen is None else yes if seen else no


def _limit_text(limit: Limit) -> str:
    if limit.refused is not None:
        return f"{limit.taken} taken, {limit.refused} refused: at most {limit.most} for an hour"
    return f"{limit.taken} taken, none was too many" if limit.taken else _NOT_YET
