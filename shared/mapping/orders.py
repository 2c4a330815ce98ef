"""The orders (ServiceRequests) that carry a study's accession numbers -> ImagingStudy.basedOn and encounter.

A study is linked to an order that a number leads to without doubt. Our link to any other order is removed; what others
have linked stays.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from shared.mapping import authored
from shared.mapping.accession import is_of_type_accession
from shared.mapping.held import objects
from shared.mapping.last_applied import is_marked, mark
from shared.mapping.merge import added, contains
from shared.mapping.resources import Fragment
from shared.mapping.text import each_once
from shared.mapping.transaction import identifier_query, reference_of, value_query
from shared.model.fhir import Resource

BASED_ON, ENCOUNTER = "basedOn", "encounter"


@dataclass(frozen=True, slots=True)
class OrderNumber:
    """An accession number by which an order is looked up; `system` is empty if it has none."""

    system: str
    value: str

    @classmethod
    def of(cls, identifier: Mapping[str, Any]) -> "OrderNumber":
        """The order number of an identifier."""
        return cls(identifier.get("system", ""), identifier["value"])

    @property
    def query(self) -> str:
        """The search for orders that may have the number."""
        return identifier_query(self.system, self.value) if self.system else value_query(self.value)

    def is_carried_by(self, order: Resource) -> bool:
        """Whether the order has the number with this system; without a known system, with the type ACSN."""
        same = [one for one in objects(order.get("identifier")) if one.get("value") == self.value]
        if self.system:
            return any(one.get("system") == self.system for one in same)
        return any(map(is_of_type_accession, same))


@dataclass(frozen=True, slots=True)
class FoundOrders:
    """What the numbers lead to.

    `links`: references to write. `out`: references that these numbers do not lead to any more, to be removed if ours.
    `encounters`: the encounters of the linked orders, each once.
    """

    links: Sequence[Resource] = ()
    out: Sequence[Resource] = ()
    encounters: Sequence[Resource] = ()

    @classmethod
    def union(cls, found: Sequence["FoundOrders"]) -> "FoundOrders":
        """What several numbers lead to. What one of them leads to is not removed because of another."""
        links = each_once(one for some in found for one in some.links)
        return cls(
            links,
            [one for some in found for one in some.out if one not in links],
            each_once(one for some in found for one in some.encounters),
        )


def order_numbers(fragments: Sequence[Fragment]) -> dict[OrderNumber, Mapping[str, Any]]:
    """The order numbers in a study's fragments, each with its identifier."""
    return {OrderNumber.of(one): one for fragment in fragments for one in fragment.orders}


def order_link(order: Resource) -> Resource:
    """A literal reference to the order."""
    return {"reference": reference_of(order)}


def logical_link(identifier: Mapping[str, Any]) -> Resource:
    """A reference by identifier, to an order that this server does not have (references.html#logical)."""
    return {"type": "ServiceRequest", "identifier": dict(identifier)}


def encounter_of(order: Resource) -> Resource | None:
    """The order's reference to its encounter; None if it has none, or one that leads to a contained resource."""
    encounter = order.get(ENCOUNTER)
    if not isinstance(encounter, dict):
        return None
    link = {name: encounter[name] for name in ("reference", "identifier") if name in encounter}
    if not link or str(link.get("reference", "")).startswith("#"):
        return None
    return None if authored.rule_broken("ImagingStudy", ENCOUNTER, link) else link


def with_orders(study: Resource, found: FoundOrders, ours: AbstractSet[str], *, is_all: bool) -> Resource:
    """The study linked to these orders. `ours`: marks of what we wrote. `is_all`: no instance has another number."""
    held = study.get(BASED_ON, [])
    left = [one for one in held if not (is_marked(ours, "", BASED_ON, one) and _is_out(one, found, is_all=is_all))]
    links = added(left, found.links)
    result = {name: value for name, value in study.items() if name != BASED_ON}
    if links:
        result[BASED_ON] = links
    others = [one for one in left if is_marked(ours, "", BASED_ON, one) and not leads_to(one, found.links)]
    if not others:
        _put_encounter(result, found, ours)
    return study if result == study else result


def order_marks(study: Resource, before: Resource | None, found: FoundOrders) -> set[str]:
    """The marks of what `with_orders` has added to the study."""
    held = before or {}
    links = [one for one in found.links if one in study.get(BASED_ON, ()) and one not in held.get(BASED_ON, ())]
    encounters = [one for one in found.encounters if one == study.get(ENCOUNTER) != held.get(ENCOUNTER)]
    return {mark(BASED_ON, one) for one in links} | {mark(ENCOUNTER, one) for one in encounters}


def _put_encounter(study: Resource, found: FoundOrders, ours: AbstractSet[str]) -> None:
    """Sets the encounter if the orders name exactly one and it is ours to set; else removes ours."""
    held = study.get(ENCOUNTER)
    is_ours = held is not None and is_marked(ours, "", ENCOUNTER, held)
    if held is not None and not is_ours:
        return
    if len(found.encounters) == 1:
        (wanted,) = found.encounters
        if held is None or not contains(held, wanted):
            study[ENCOUNTER] = wanted
    elif is_ours and (found.links or not study.get(BASED_ON)):
        del study[ENCOUNTER]


def _is_out(link: Resource, found: FoundOrders, *, is_all: bool) -> bool:
    return not leads_to(link, found.links) and (is_all or any(contains(link, one) for one in found.out))


def leads_to(link: Resource, links: Sequence[Resource]) -> bool:
    """Whether our link is one of these; with another system than theirs, or with one that theirs lacks, it is not."""
    return any(contains(link, one) and contains(one, link) for one in links)
