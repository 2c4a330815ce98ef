"""The ImagingStudy that FHIR holds, what of it is ours, and all that the one to write is merged from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.mapping.last_applied import assumed, is_marked, recorded
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import Links, contains
from shared.mapping.merge_study import fragments_of_study
from shared.mapping.orders import OrderNumber, order_numbers
from shared.mapping.reconcile import StudyRead
from shared.mapping.reconcile_study import study_fragments
from shared.mapping.resources import MappedInstance
from shared.mapping.sign import is_ours
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes

Numbers = dict[OrderNumber, Mapping[str, Any]]
"""Order numbers, each with the identifier that it stands in."""


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """`resource`: None if FHIR has none. `is_ours`: the app made the study, or is to make it.

    `marks`: those of what the app wrote on it (`last_applied`).
    """

    resource: Resource | None
    is_ours: bool
    marks: frozenset[str]

    @classmethod
    def of(cls, resource: Resource | None, endpoint: str, options: MappingOptions) -> "HeldStudy":
        """`endpoint`: the reference to our Endpoint; empty if it is not known."""
        if resource is None:
            return cls(None, True, frozenset())
        is_ours_, marks = is_ours(resource, options.service_url), recorded(resource)
        if marks is None:
            is_linked = any(contains(one, {"reference": endpoint}) for one in resource.get("endpoint", ()))
            marks = assumed(resource, is_ours=is_ours_, is_linked=is_linked, extended=options.extended)
        return cls(resource, is_ours_, marks)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a study is merged from. `read`: what the archive holds of it, if the changes do not say enough.

    `links`: references to the Patients and to our Endpoint, by the names that they have in a transaction.
    """

    held: HeldStudy
    wanted: Changes
    links: Links
    read: StudyRead | None = None

    @property
    def own_series(self) -> set[str]:
        """The series of this archive: all of a study of ours; of others', those we wrote and those of the changes."""
        own = {entry.series_instance_uid for entry in self.wanted.entries}
        uids = {one["uid"] for one in (self.held.resource or {}).get("series", ())}
        if self.held.is_ours:
            return own | uids
        return own | {uid for uid in uids if is_marked(self.held.marks, f"{uid}/", "uid", uid)}

    @property
    def instances(self) -> list[MappedInstance]:
        """What the study is to say: all instances that were read, or those that are changed."""
        if self.read is not None:
            return self.read.instances
        return [change for change in self.wanted.changes if isinstance(change, MappedInstance)]

    @property
    def order_numbers(self) -> Numbers:
        """The order numbers that the study's instances have, as far as they are known."""
        if self.read is None:
            return numbers_of(self.wanted)
        return {**order_numbers(study_fragments(self.read, self.links)), **self.wanted.orders}


def numbers_of(wanted: Changes) -> Numbers:
    """The order numbers that the changed instances have, and those that are to be looked up."""
    return {**order_numbers(fragments_of_study(wanted.changes)), **wanted.orders}
