"""The rebuild of one study run dry at once, for whoever looks: no replay is made, and nothing of it is kept."""

from collections.abc import Sequence
from dataclasses import replace

from shared.errors import TransientError
from shared.mapping.converters import MappingOptions
from shared.model.change_feed import ChangeFeedEntry
from shared.model.failures import FailedEntry
from shared.model.watermark import Watermark
from shared.sync.merge.known import KnownResources
from shared.sync.merge.words import Words
from shared.sync.ports import Ports
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.replay.rehearsal import Rehearsal, Unneeded


def rehearse_study(
    ports: Ports,
    options: MappingOptions,
    fhir: Rehearsal,
    whole: tuple[str, str],
    entries: Sequence[ChangeFeedEntry],
    *,
    patients: bool,
) -> tuple[FailedEntry, ...]:
    """What would be recorded; `fhir` says then what would be written.

    `whole`: StudyInstanceUID and data partition; `entries` are all that the archive holds of it. `patients`: their
    words overwrite Patients, as the policy says; else they only fill. Raises TransientError, OutageError.
    """
    words = Words()
    if patients:
        words.begin(Watermark(), [0])
    afresh = replace(
        ports, fhir=fhir, known=KnownResources(max_weight=0), words=words, lease=Unneeded(), sleep=lambda _: None
    )
    (outcome,) = StudySync(afresh, options).run_all([Study(entries, whole=whole)])
    if isinstance(outcome, TransientError):
        raise outcome
    return outcome.failures
