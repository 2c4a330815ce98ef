"""The writes of a merged ImagingStudy: its create, update or delete, and the deletes of its doubles."""

from collections.abc import Sequence

from shared.mapping.converters import urn
from shared.mapping.last_applied import recorded
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import cancelled
from shared.mapping.sign import is_only_ours, is_ours, signed
from shared.mapping.study_identity import with_study_identifiers
from shared.mapping.transaction import Create, Delete, Update, Write, identifier_query
from shared.model.fhir import Resource
from shared.sync.merge.study_lookup import StudyLookup


def study_writes(
    studies: StudyLookup,
    options: MappingOptions,
    study_instance_uid: str,
    found: Sequence[Resource],
    merged: Resource | None,
) -> list[Write]:
    """The writes after which FHIR has the study once, as `merged`.

    `found`: the study as FHIR holds it, then its doubles, whose instances `merged` lists too.
    """
    if merged is None:
        return []
    if not found:
        return [_create(studies, options, study_instance_uid, merged)]
    study, *doubles = found
    query = studies.query(study_instance_uid)
    gone: list[Write] = [Delete(one, cancelled(one), query) for one in doubles]
    if not is_ours(study, options.service_url):
        return gone if merged == study else [Update(merged, query), *gone]
    if not merged.get("series"):
        if is_only_ours(merged, options, recorded(study)):
            return [Delete(study, signed(cancelled(study), options.service_url), query), *gone]
        merged = cancelled(merged)
    if merged == study:
        return gone
    return [Update(with_study_identifiers(signed(merged, options.service_url), options), query), *gone]


def _create(studies: StudyLookup, options: MappingOptions, study_instance_uid: str, study: Resource) -> Create:
    """The create. Its condition is another one if a search by the UID finds another partition's study (ADR 38)."""
    condition = query = studies.query(study_instance_uid)
    if studies.is_elsewhere_too(study_instance_uid):
        own = {"system": options.service_url, "value": f"urn:oid:{study_instance_uid}"}
        study = {**study, "identifier": [*study["identifier"], own]}
        condition = identifier_query(**own)
    return Create(urn("ImagingStudy", study_instance_uid), study, condition, query)
