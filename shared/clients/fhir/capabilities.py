"""What a FHIR server does where R4 leaves it open: read from its metadata, tried, and learned where it refuses."""

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
"""Entries of one transaction: more Azure's service does not take."""
FORGOTTEN_AFTER_SECONDS = 3600
"""A limit, or what was refused, is tried again after so long: a server is reconfigured without telling."""
_TRIED_AGAIN = frozenset({"batches", "post_searches", "joined_searches"})


@dataclass(frozen=True, slots=True)
class Limit:
    """Of a kind of bundle, in entries: the largest that was taken, and the smallest that was too large, if any was."""

    taken: int = 0
    refused: int | None = None

    @property
    def most(self) -> int:
        """Entries that are not known to be too many."""
        return MAX_ENTRIES if self.refused is None else max(1, min(self.taken, self.refused - 1))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The record. None: not known yet.

    `conditional` and `plain` are the limits of transactions with `ifNoneExist` and of those without it. `page_size`: of
    the largest page that another followed.
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
        """Of one kind."""
        return self.conditional if conditional else self.plain


class LearnedCapabilities:
    """The record as it grows, for the life of the process. Threads may share it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = RLock()
        self._known = Capabilities()
        self._refused_at: dict[str, float] = {}

    @property
    def known(self) -> Capabilities:
        """As it is now; what was refused long ago counts no more."""
        if not self._refused_at:  # all lanes ask, several times for each study: none is to wait for another
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
        """What the server says of itself; what it was seen to do counts more."""
        self.learn(fhir_version=statement.fhir_version, software=statement.software, base=statement.base)
        if statement.batches and self.known.batches is None:
            self.learn(batches=True)

    def learn(self, **seen: Any) -> None:
        """Values of the record's fields by name."""
        with self._lock:
            self._known = replace(self._known, **seen)
            for name, value in seen.items():
                if value is False and name in _TRIED_AGAIN:
                    self._refused_at[name] = self._monotonic()

    def learn_refusal(self, error: FhirRefusedError, **refused: bool) -> None:
        """The fields say what. A 403, or an answer that is too long, is due to what was asked for, not to how."""
        if error.status not in (None, requests.codes.forbidden):
            self.learn(**refused)

    def learn_taken(self, size: int, *, conditional: bool) -> None:
        """A transaction of so many entries was applied."""
        with self._lock:
            limit = self._known.limit(conditional=conditional)
            if size > limit.taken:
                self.learn(**{_kind(conditional): replace(limit, taken=size)})

    def learn_too_many(self, size: int, *, conditional: bool) -> None:
        """One of so many was refused, and its parts were taken."""
        with self._lock:
            limit = self.known.limit(conditional=conditional)
            self._refused_at[_kind(conditional)] = self._monotonic()
            self.learn(**{_kind(conditional): replace(limit, refused=min(size, limit.refused or size))})

    def learn_from_matches(self, resources: list[Resource]) -> None:
        """What a search answered: whether it tells versions."""
        if resources and self._known.versions_in_searches is None:
            meta = resources[0].get("meta")
            self.learn(versions_in_searches=isinstance(meta, dict) and "versionId" in meta)


def _kind(conditional: bool) -> str:
    return "conditional" if conditional else "plain"


def capability_texts(known: Capabilities) -> dict[str, str]:
    """The record in words, for the self-check and the page; what is not known yet says so."""
    return {
        "software": known.software or "not told",
        "FHIR version": known.fhir_version or _NOT_YET,
        "batches of searches": _told(known.batches, "taken", "refused"),
        "searches of several values": _told(known.joined_searches, "taken", "refused"),
        "searches by POST": _told(known.post_searches, "taken", "refused, or their form is ignored"),
        "versions in searches": _told(known.versions_in_searches, "told", "not told: resources are read one by one"),
        "meta.source": _told(known.source_kept, "kept", "dropped"),
        "meta.tag": _told(known.tag_kept, "kept", "dropped"),
        "answer to a stale If-Match": str(known.conflict_status or _NOT_YET),
        "If-Match on DELETE": _told(known.delete_if_match, "heeded", "ignored: what goes is updated first"),
        "update of what was deleted": _told(known.deleted_kept, "refused", "makes it again"),
        "entries of a transaction with creates": _told_limit(known.conditional),
        "entries of a transaction of updates": _told_limit(known.plain),
        "page of a search": str(known.page_size or _NOT_YET),
    }


_NOT_YET = "not seen yet"


def _told(seen: bool | None, yes: str, no: str) -> str:
    return _NOT_YET if seen is None else yes if seen else no


def _told_limit(limit: Limit) -> str:
    if limit.refused is not None:
        return f"{limit.taken} taken, {limit.refused} refused: at most {limit.most} for an hour"
    return f"{limit.taken} taken, none was too many" if limit.taken else _NOT_YET
