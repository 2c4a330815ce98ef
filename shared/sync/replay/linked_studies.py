"""Links studies to orders that came after them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.errors import EntryError, TransientError
from shared.mapping.accession import is_of_type_accession
from shared.mapping.held import objects, readable, text
from shared.mapping.last_applied import recorded
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.orders import OrderNumber
from shared.mapping.sign import is_ours
from shared.mapping.study_identity import place_of
from shared.mapping.transaction import identifier_query, reference_of
from shared.model.fhir import Resource
from shared.process.log_lines import log_line
from shared.sync.map.mapped_entries import Changes
from shared.sync.merge.merging import StudyMerger
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.ports import Ports
from shared.sync.record.resolving import after_sync
from shared.sync.record.rows import ErrorRows
from shared.sync.transact.group import Group
from shared.sync.transact.one_study import OneStudy
from shared.sync.transact.task import StudyResult, Task

STUDIES_AT_ONCE = 20
"""Studies that are read, and written, together."""

Numbers = dict[OrderNumber, Mapping[str, Any]]

logger = logging.getLogger(__name__)


def link_studies(ports: Ports, options: MappingOptions, orders: Sequence[Resource]) -> bool:
    """Links the studies that have the number of one of these orders. Returns whether all of them could be written."""
    found = _studies_of(ports, options, orders)
    outcomes: list[StudyResult | TransientError] = []
    studies = list(found.items())
    for start in range(0, len(studies), STUDIES_AT_ONCE):
        outcomes += _linked(ports, options, studies[start : start + STUDIES_AT_ONCE])
    linked = sum(isinstance(one, StudyResult) and one.wrote for one in outcomes)
    log_line(logger, logging.INFO, "orders looked at", Orders=len(orders), Studies=len(studies), Written=linked)
    return not any(isinstance(one, TransientError) for one in outcomes)


def _studies_of(ports: Ports, options: MappingOptions, orders: Sequence[Resource]) -> dict[tuple[str, str], Numbers]:
    """Our studies that have the number of one of these orders, by data partition and StudyInstanceUID."""
    searches = [("ImagingStudy", query) for query in dict.fromkeys(_queries(orders))]
    if not searches:
        return {}
    found_by_each = ports.fhir.search_many(searches) if len(searches) > 1 else [ports.fhir.search(*searches[0])]
    studies = {reference_of(one): one for matches in found_by_each for one in matches}
    found: dict[tuple[str, str], Numbers] = {}
    for study in studies.values():
        numbers = {number: one for number, one in _numbers(study) if any(map(number.is_carried_by, orders))}
        place = _place(study, options)
        if numbers and place:
            found.setdefault(place, {}).update(numbers)
    return found


def _queries(orders: Sequence[Resource]) -> Iterator[str]:
    """Searches for studies by the orders' numbers: with their system, and without if the type is accession number."""
    for identifier in (one for order in orders for one in objects(order.get("identifier"))):
        value, system = text(identifier.get("value")), text(identifier.get("system"))
        if value and system:
            yield OrderNumber(system, value).query
        if value and is_of_type_accession(identifier):
            yield OrderNumber("", value).query


def _numbers(study: Resource) -> Iterator[tuple[OrderNumber, Resource]]:
    for one in objects(study.get("identifier")):
        if is_of_type_accession(one) and text(one.get("value")) and isinstance(one.get("system", ""), str):
            yield OrderNumber.of(one), one


def _place(study: Resource, options: MappingOptions) -> tuple[str, str] | None:
    """Data partition and StudyInstanceUID; None if the app has never written the study."""
    try:
        study = readable(study)
    except EntryError:
        return None
    place = place_of(study, options)
    if place is None:
        return None
    is_known = recorded(study) is not None or is_ours(study, options.of_partition(place[0]).service_url)
    return place if is_known else None


def _linked(
    ports: Ports, options: MappingOptions, studies: Sequence[tuple[tuple[str, str], Numbers]]
) -> list[StudyResult | TransientError]:
    """Reads, merges and writes the studies, and records their failures."""
    afresh = replace(ports, cache=ResourceCache(max_weight=0, recent_writes=ports.cache.recent_writes))
    mergers = {partition: StudyMerger(afresh, options, partition) for (partition, _), _ in studies}
    tasks = [
        Task(mergers[partition], Changes(uid, [], {}, orders=numbers), ()) for (partition, uid), numbers in studies
    ]
    for (partition, uid), _ in studies:  # the cached resources will be out of date
        system = options.of_partition(partition).uid_system
        ports.cache.put(identifier_query(system, f"urn:oid:{uid}"), None)
    outcomes = Group(afresh, tasks, lambda task: OneStudy(afresh, task).run()).run()
    done = [(place, one) for (place, _), one in zip(studies, outcomes, strict=True) if isinstance(one, StudyResult)]
    rows = ErrorRows(ports, ports.watermarks.read())
    resolved = [
        row
        for place, one in done
        for row in after_sync(ports.errors.open_rows([place], ()), (), one.failures, one.untrue)
    ]
    rows.record([failure for _, one in done for failure in one.failures])
    rows.resolve(resolved)
    return outcomes
