"""The links of studies to the orders that they fulfil: added as the instances say, and taken out if none says so."""

from shared.mapping.last_applied import is_marked
from shared.mapping.orders import BASED_ON, FoundOrders, leads_to, order_marks, with_orders
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes
from shared.sync.merge.held_study import Numbers, Sources, numbers_of
from shared.sync.merge.lookup import Search
from shared.sync.merge.orders import Orders
from shared.sync.merge.patient_links import PatientLinks


class OrderLinks:
    """Those of one batch's studies. Threads may share it."""

    def __init__(self, orders: Orders, patients: PatientLinks) -> None:
        self._orders = orders
        self._patients = patients

    def searches(self, wanted: Changes) -> list[Search]:
        """The searches that `linked` will make if the archive is not read."""
        return self._orders.searches(numbers_of(wanted))

    def linked(self, study: Resource, sources: Sources) -> tuple[Resource, set[str]]:
        """The study to write, linked to its orders, and the marks of these links. Raises what `Orders.of` does."""
        is_all = sources.read is not None and sources.read.is_whole
        numbers = sources.order_numbers
        found = self._found(study, numbers, sources) if numbers or is_all else None
        if found is None:
            return study, set()
        linked = with_orders(study, found, sources.held.marks, is_all=is_all)
        return linked, order_marks(linked, sources.held.resource, found)

    def loses_one(self, study: Resource, sources: Sources) -> bool:
        """Whether we have linked the study to an order that the instances read do not lead to, but others may."""
        held = [one for one in study.get(BASED_ON, ()) if is_marked(sources.held.marks, "", BASED_ON, one)]
        found = self._found(study, sources.order_numbers, sources) if held else None
        return found is not None and not all(leads_to(one, found.links) for one in held)

    def _found(self, study: Resource, numbers: Numbers, sources: Sources) -> FoundOrders | None:
        patients = self._patients.identifiers(sources.wanted, sources.links)
        return self._orders.of(sources.wanted.study_instance_uid, numbers, study, patients)
