"""What the ImagingStudy should say: its instances, links and counts, and the record of what is ours in it."""

from collections.abc import Collection, Mapping

from shared.errors import UnreadStudyError
from shared.mapping.endpoints import with_viewer
from shared.mapping.last_applied import with_record
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import counted_series, counts_only, merge_study, uncounted
from shared.mapping.reconcile_study import applied, reconcile_study, standing
from shared.mapping.series_endpoint import series_endpoint_marks, with_series_endpoints
from shared.mapping.study_identity import without_second_identifier
from shared.mapping.undecided import without_dissent
from shared.model.fhir import Resource
from shared.sync.merge.held_study import Sources
from shared.sync.merge.missing_instances import may_lag
from shared.sync.merge.order_links import OrderLinks
from shared.sync.ports import Ports


class StudyContent:
    """For the studies of one data partition. `endpoint`: the name of our Endpoint in links. Threads may share it."""

    def __init__(
        self, ports: Ports, orders: OrderLinks, endpoint: str, options: MappingOptions, partition: str
    ) -> None:
        self._archive = ports.archive
        self._now = ports.now
        self._orders = orders
        self._endpoint = endpoint
        self._options = options
        self._partition = partition

    def of(self, sources: Sources) -> Resource | None:
        """The ImagingStudy to write, equal to FHIR's if nothing changes; None if FHIR has none and is to get none.

        Raises UnreadStudyError, and what Archive and Orders do.
        """
        study, marks, own = sources.held.resource, sources.held.marks, sources.own_series
        merged = self._merged(sources, own)
        if merged is None:
            return None
        if self._is_counted_only(merged, sources, own):
            counts = {**dict.fromkeys(own, 0), **self._counts(sources)}
            merged = counts_only(without_dissent(merged, sources.wanted.changes, marks), counts)
        if sources.held.is_ours:
            merged = without_second_identifier(with_viewer(merged, self._options), self._options)
        endpoint = sources.links.get(self._endpoint)
        if endpoint:
            of_archive = own.union(sources.read.series if sources.read else ())
            merged = with_series_endpoints(merged, endpoint, of_archive, marks, self._options)
        merged, new = self._orders.linked(merged, sources)
        if merged == study:
            return merged
        new |= applied(sources.instances, study)
        if endpoint:
            new |= series_endpoint_marks(merged, study, endpoint)
        return with_record(merged, standing(merged, marks | new) if study else new)

    def _merged(self, sources: Sources, own: Collection[str]) -> Resource | None:
        """The study with what its instances say."""
        study, wanted, read = sources.held.resource, sources.wanted, sources.read
        counted = self._options.extended
        if wanted.orders:
            return study
        if study is None or read is None:
            return merge_study(study, wanted.changes, sources.links, counted=counted) or study
        base = uncounted(study, own, read.series) if wanted.is_whole else study
        return reconcile_study(base, read, sources.held.marks, sources.links, counted=counted)

    def _counts(self, sources: Sources) -> Mapping[str, int]:
        """How many instances each series has. Raises UnreadStudyError if the list lacks a series: it may lag behind.

        Instances that only the feed names may have other UIDs by now, unless they are new.
        """
        counts = self._archive.counts(sources.wanted.study_instance_uid, self._partition)
        for entry in (one.entry for one in sources.instances if not counts.get(one.entry.series_instance_uid)):
            is_read = not entry.sequence
            if is_read or (may_lag(entry, self._now()) and not sources.wanted.is_doubtful):
                series = entry.series_instance_uid
                raise UnreadStudyError(f"the series {series} has instances, and QIDO-RS does not list it")
        return counts

    def _is_counted_only(self, merged: Resource, sources: Sources, own: set[str]) -> bool:
        """Whether instances are to be counted, not listed. A study that was written so stays so until it is rebuilt."""
        study, wanted = sources.held.resource, sources.wanted
        listed = sum(len(one.get("instance", ())) for one in merged.get("series", []))
        is_so_already = study is not None and not wanted.is_whole and bool(counted_series(study) & own)
        return wanted.counts_only or is_so_already or 0 < self._options.max_instances < listed
