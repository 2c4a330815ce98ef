"""Whether the changes alone say what FHIR should say of a study; else what the archive holds of it is read."""

from dataclasses import replace

from shared.mapping.changed_fragments import ChangedFragments
from shared.mapping.last_applied import recorded
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import merge_study
from shared.mapping.reconcile import ScopeFragments, StudyRead, takes_out
from shared.mapping.reconcile_study import is_plain
from shared.mapping.resources import listed_by
from shared.mapping.restated import is_restated, is_turned_off
from shared.mapping.table import elements_of
from shared.mapping.undecided import is_undecided
from shared.model.fhir import Resource
from shared.sync.merge.held_study import Sources
from shared.sync.merge.order_links import OrderLinks
from shared.sync.merge.reading import StudyReader


class NeededReading:
    """Reads no more of a study than it is merged from. Threads may share it."""

    def __init__(self, reader: StudyReader, orders: OrderLinks, options: MappingOptions) -> None:
        self._reader = reader
        self._orders = orders
        self._options = options

    def of(self, sources: Sources) -> StudyRead | None:
        """What the archive holds; None if the changes can be merged without reading it, or change nothing.

        Raises what StudyReader and Orders do.
        """
        study, wanted = sources.held.resource, sources.wanted
        if study is None or wanted.orders or self._is_decided(study, sources):
            return None
        own = sources.own_series
        # Without changes it is a former UID of a study, and nothing says which instances have left it.
        read = (self._reader.read if wanted.changes else self._reader.read_all)(study, wanted, own)
        if read.is_whole or not self._takes_out(study, replace(sources, read=read)):
            return read
        return self._reader.read_all(study, wanted, own)

    def _is_decided(self, study: Resource, sources: Sources) -> bool:
        """Whether the changes only add to what FHIR says, or change nothing in it."""
        wanted, marks, links = sources.wanted, sources.held.marks, sources.links
        if not wanted.only_creates or is_turned_off(study, recorded(study) or frozenset(), self._options):
            return False
        changed = ChangedFragments.of(wanted.changes)
        if is_undecided(study, changed, marks) or is_restated(study, changed, marks):
            return False
        if not wanted.is_doubtful and is_plain(study, changed, links):
            return True
        return merge_study(study, wanted.changes, links, counted=self._options.extended) is None

    def _takes_out(self, study: Resource, sources: Sources) -> bool:
        """Whether FHIR has a value of ours that the instances read do not have: all others have to be read for it."""
        fragments = listed_by(sources.instances, lambda one: one.study)
        scope = ScopeFragments(fragments, False, sources.held.marks, "", sources.links)
        return takes_out(study, scope, elements_of("ImagingStudy")) or self._orders.loses_one(study, sources)
