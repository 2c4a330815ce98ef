"""A dry run of one study's rebuild, for the study page and the audit: no replay is made, and nothing is kept."""

from collections.abc import Sequence
from dataclasses import replace

from shared.errors import TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import ChangeFeedEntry
from shared.model.failures import FailedEntry
from shared.model.watermark import Watermark
from shared.sync.merge.feed_order import FeedOrder
from shared.sync.merge.resource_cache import RecentWrites, ResourceCache
from shared.sync.ports import Ports
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.replay.dry_run_server import DryRunServer, NoLease


def dry_rebuild(
    ports: Ports,
    options: MappingOptions,
    fhir: DryRunServer,
    whole: tuple[str, str],
    entries: Sequence[ChangeFeedEntry],
    *,
    patients: bool,
    recent_writes: RecentWrites | None = None,
) -> tuple[FailedEntry, ...]:
    """The failures that the rebuild would record; what it would write is then in `fhir`.

    `whole`: StudyInstanceUID and data partition; `entries` are all that the archive holds of the study. `patients`: the
    rebuild may overwrite Patients, as the policy says; else it only fills. `recent_writes`: this host's, which searches
    may not show yet. Raises TransientError, OutageError.
    """
    feed_order = FeedOrder()
    if patients:
        feed_order.begin(Watermark(), [0])
    cache = ResourceCache(max_weight=0, recent_writes=RecentWrites(recent_writes))
    afresh = replace(ports, fhir=fhir, cache=cache, feed_order=feed_order, lease=NoLease(), sleep=lambda _: None)
    (outcome,) = StudySync(afresh, options).run_all([Study(entries, whole=whole)])
    if isinstance(outcome, TransientError):
        raise outcome
    return outcome.failures
