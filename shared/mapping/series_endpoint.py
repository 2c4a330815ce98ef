"""The Endpoint of the DICOM service on a study's series: if the setting asks for it, or the study names others too."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet

from shared.mapping.endpoints import is_viewer_link
from shared.mapping.last_applied import mark
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import added, contains
from shared.model.fhir import Resource


def with_series_endpoints(
    study: Resource, reference: str, series: Collection[str], ours: AbstractSet[str], options: MappingOptions
) -> Resource:
    """The study of which these series link to our Endpoint, if they are to; else without the links that we wrote.

    `reference`: that of our Endpoint. `series`: their SeriesInstanceUIDs. `ours`: the marks of what we wrote.
    """
    link = {"reference": reference}
    held = [one for one in study.get("endpoint", ()) if not is_viewer_link(one)]
    is_linked = options.extended and (options.series_endpoint or not all(contains(one, link) for one in held))
    made = []
    for one in study.get("series", ()):
        links = one.get("endpoint", [])
        if not is_linked:
            made.append(_with(one, [each for each in links if mark(_path(one), each) not in ours]))
        else:
            made.append(_with(one, added(links, [link])) if one["uid"] in series else one)
    return {**study, "series": made} if made != study.get("series", []) else study


def series_endpoint_marks(study: Resource, before: Resource | None, reference: str) -> set[str]:
    """The marks of the links that `with_series_endpoints` has added: unlike the study's, they go with the setting."""
    link = {"reference": reference}
    held = {one["uid"]: one.get("endpoint", ()) for one in (before or {}).get("series", ())}
    return {
        mark(_path(one), link)
        for one in study.get("series", ())
        if link in one.get("endpoint", ()) and link not in held.get(one["uid"], ())
    }


def _path(series: Resource) -> str:
    return f"{series['uid']}/endpoint"


def _with(series: Resource, links: list[Resource]) -> Resource:
    if links == series.get("endpoint", []):
        return series
    bare = {name: value for name, value in series.items() if name != "endpoint"}
    return {**bare, "endpoint": links} if links else bare
