"""Instances of which FHIR has not taken an earlier entry, as open rows say: it may have them under former UIDs."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from shared.model.change_feed import Action
from shared.model.failures import NOT_TAKEN, digest
from shared.sync.ports import Ports
from shared.sync.read.plan import Study


def with_not_taken(ports: Ports, studies: Sequence[Study]) -> Sequence[Study]:
    """The studies, in which such instances count as updated: the entry that FHIR did not take may have been an update.

    The entries behind it do not say that the instance had other UIDs, and they close its row. Creates among the study's
    own entries do not count, so that a replay of what FHIR refused makes no searches for former UIDs.
    """
    rows = ports.errors.open_rows({study.entries[0].study for study in studies if study.entries}, ())
    not_taken: dict[str, set[int]] = {}
    for row in rows:
        if row.table in NOT_TAKEN:
            not_taken.setdefault(row.instance, set()).add(row.sequence)
    return [_with(study, not_taken) for study in studies] if not_taken else studies


def _with(study: Study, not_taken: Mapping[str, AbstractSet[int]]) -> Study:
    if study.entries and digest(*study.entries[0].study, "", "") in not_taken:  # a row about the study as a whole
        return replace(study, updated=study.updated | {one.instance for one in study.entries})
    creates = {one.sequence for one in study.entries if one.action is Action.CREATE}
    found = {one.instance for one in study.entries if not_taken.get(digest(*one.instance), frozenset()) - creates}
    return replace(study, updated=study.updated | found) if found else study
