"""The orders that studies fulfil: looked up by accession number, never guessed, and not needed to write a study."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.errors import EntryError, OutOfTimeError, ThrottledError, TransientError
from shared.mapping.accession import is_of_type_accession
from shared.mapping.held import objects, readable, text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import contains
from shared.mapping.orders import FoundOrders, OrderNumber, encounter_of, logical_link, order_link
from shared.mapping.patient_id import is_other
from shared.mapping.sign import named
from shared.mapping.transaction import reference_of
from shared.model.fhir import Resource
from shared.model.options import OrderLink
from shared.sync.merge.lookup import Lookup, Search
from shared.sync.merge.order_searches import ORDER
from shared.sync.merge.survivors import survivors
from shared.sync.ports import Ports

_PATIENT = re.compile(r"Patient/[A-Za-z0-9\-][A-Za-z0-9\-.]{0,63}")
SEVERAL_ORDERS, ORDER_OF_ANOTHER = "SeveralOrders", "OrderOfAnotherPatient"


class Orders:
    """The orders of one batch's studies. Threads may share it."""

    def __init__(self, ports: Ports, lookup: Lookup, options: MappingOptions) -> None:
        self._searches = ports.order_searches
        self._now = ports.now
        self._read = ports.fhir.read
        self._lookup = lookup
        self._options = options
        self._findings: dict[str, dict[str, str]] = {}
        self._checked: set[str] = set()

    def searches(self, numbers: Mapping[OrderNumber, Any]) -> list[Search]:
        """The searches that `of` will make."""
        if not self._searches.are_taken(self._now()):
            return []
        return [(ORDER, number.query) for number in numbers]

    def of(
        self,
        study_instance_uid: str,
        numbers: Mapping[OrderNumber, Mapping[str, Any]],
        study: Resource,
        patients: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> FoundOrders | None:
        """What the numbers lead to; None if the server does not take the searches now: the study keeps its links.

        `study`: as it will be written; `patients`: identifiers of the Patients that it may be linked to, by their
        references. Raises ThrottledError, OutOfTimeError, OutageError, and TransientError if a Patient cannot be read.
        """
        findings = self._findings[study_instance_uid] = {}
        self._checked.discard(study_instance_uid)
        if numbers and not self._searches.are_taken(self._now()):
            return None
        try:
            orders = {number: self._carrying(number) for number in numbers}
        except (ThrottledError, OutOfTimeError):
            raise
        except (EntryError, TransientError) as error:
            self._searches.refused(str(error), self._now())
            return None
        found = [self._found(orders[number], one, study, patients, findings) for number, one in numbers.items()]
        carried = {text(one.get("value")) for one in objects(study.get("identifier")) if is_of_type_accession(one)}
        if carried <= {number.value for number in numbers}:
            self._checked.add(study_instance_uid)
        return FoundOrders.union(found)

    def findings(self, study_instance_uid: str) -> Mapping[str, str]:
        """Messages about the study's orders for somebody to look at, by the name of the exception in the row."""
        return self._findings.get(study_instance_uid, {})

    def untrue(self, study_instance_uid: str) -> set[str]:
        """Names of the exceptions that `of` has just checked for the study: older rows with them may be resolved."""
        return {SEVERAL_ORDERS, ORDER_OF_ANOTHER} if study_instance_uid in self._checked else set()

    def _carrying(self, number: OrderNumber) -> list[Resource]:
        """The orders with the number, except those entered in error."""
        matches = self._lookup.orders((ORDER, number.query))
        found = {reference_of(one): one for one in matches if number.is_carried_by(one)}
        return [one for one in found.values() if one.get("status") != "entered-in-error"]

    def _found(
        self,
        orders: Sequence[Resource],
        identifier: Mapping[str, Any],
        study: Resource,
        patients: Mapping[str, Sequence[Mapping[str, Any]]],
        findings: dict[str, str],
    ) -> FoundOrders:
        """What a number leads to, given the orders that carry it; what somebody has to look at goes into `findings`."""
        by_number = logical_link(identifier)
        out = [by_number, *map(order_link, orders)]
        if not orders:
            is_named = self._options.order_link == OrderLink.LINK_OR_IDENTIFIER
            return FoundOrders([by_number] if is_named else [], out)
        if len(orders) > 1:
            findings[SEVERAL_ORDERS] = (
                f"{named(orders)} carry the number: the study is linked to none; delete or correct all but one"
            )
            return FoundOrders(out=out)
        (order,) = orders
        if not self._is_of_same_patient(order, study, patients):
            findings[ORDER_OF_ANOTHER] = (
                f"{named(orders)} carries the number and is not shown to be the study's patient's: the study is not"
                " linked to it; find out whose the images are, and correct the one or the other"
            )
            return FoundOrders(out=out)
        encounter = encounter_of(order)
        return FoundOrders([order_link(order)], out, [encounter] if encounter else [])

    def _is_of_same_patient(
        self, order: Resource, study: Resource, patients: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> bool:
        theirs, ours = order.get("subject"), study.get("subject", {})
        subject = text(ours.get("reference")).split("/_history/")[0]
        if not isinstance(theirs, dict) or not subject:
            return False
        if reference := text(theirs.get("reference")).split("/_history/")[0]:
            return contains(theirs, {"reference": subject}) or self._is_replaced_by(reference, subject)
        identifier = theirs.get("identifier")
        return isinstance(identifier, dict) and any(
            identifier.get("value") == one.get("value") and identifier.get("system", "") == one.get("system", "")
            for one in self._identifiers(subject, patients)
        )

    def _is_replaced_by(self, reference: str, subject: str) -> bool:
        """Whether a registry has merged the order's Patient into the study's."""
        try:
            held = self._patient(reference)
            return held is not None and [reference_of(one) for one in survivors([readable(held)], self._read)] == [
                subject
            ]
        except EntryError:  # a Patient that cannot be read or followed shows no merge
            return False

    def _patient(self, reference: str) -> Resource | None:
        """An order's subject is untrusted: only a reference to a Patient of this server is read."""
        return self._read(reference) if _PATIENT.fullmatch(reference) else None

    def _identifiers(
        self, subject: str, patients: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> Iterator[Mapping[str, Any]]:
        """The identifiers of the study's Patient: those that it was found by, and only then what is read of it."""
        yield from patients.get(subject, ())
        held = self._patient(subject)
        yield from (one for one in objects((held or {}).get("identifier")) if not is_other(one))
