"""Instances of which FHIR has not taken an earlier entry, as open rows say: it may have them under former UIDs."""

from collections.abc import Sequence
from dataclasses import replace

from shared.model.failures import NOT_TAKEN, digest
from shared.sync.ports import Ports
from shared.sync.read.plan import Study


def with_not_taken(ports: Ports, studies: Sequence[Study]) -> Sequence[Study]:
    """The studies, in which such instances count as updated: the entry that FHIR did not take may have been an update.

    The entries behind it do not say that the instance had other UIDs, and they close its row.
    """
    rows = ports.errors.open_rows({study.entries[0].study for study in studies if study.entries}, ())
    not_taken = {row.instance for row in rows if row.table in NOT_TAKEN}
    return [_with(study, not_taken) for study in studies] if not_taken else studies


def _with(study: Study, not_taken: set[str]) -> Study:
    if study.entries and digest(*study.entries[0].study, "", "") in not_taken:  # a row about the study as a whole
        return replace(study, updated=study.updated | {one.instance for one in study.entries})
    found = {one.instance for one in study.entries if digest(*one.instance) in not_taken}
    return replace(study, updated=study.updated | found) if found else study
