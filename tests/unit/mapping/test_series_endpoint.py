"""The Endpoint of a series: whether it says it, and whose link it is."""

from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.series_endpoint import series_endpoint_marks, with_series_endpoints

PLAIN = MappingOptions("https://dicom.example.org")
ASKED = replace(PLAIN, series_endpoint=True)
BARE = replace(ASKED, extended=False)
OURS, OTHER, VIEWER = ({"reference": one} for one in ("Endpoint/1", "Endpoint/7", "#dicom-cast-viewer"))
ELSEWHERE = {"reference": "https://fhir.example.org/Endpoint/1"}


def study(endpoints, *of_series):
    series = [{"uid": str(number), **({"endpoint": one} if one else {})} for number, one in enumerate(of_series, 1)]
    return {"resourceType": "ImagingStudy", "endpoint": endpoints, "series": series}


LINKS = [
    # settings, the study's links, those of its series before; those of its series then: only the first two are ours
    (PLAIN, [], [None, None], [None, None]),
    (PLAIN, [OURS], [None, None], [None, None]),
    (PLAIN, [OURS, VIEWER], [None, None], [None, None]),
    (PLAIN, [OTHER], [None, None, None], [[OURS], [OURS], None]),
    (PLAIN, [OTHER, OURS], [None, [OTHER]], [[OURS], [OTHER, OURS]]),
    (PLAIN, [ELSEWHERE], [None, None], [[OURS], [OURS]]),
    (PLAIN, [OTHER, OURS], [[OURS], None], [[OURS], [OURS]]),
    (ASKED, [OURS], [None, [OTHER], None], [[OURS], [OTHER, OURS], None]),
    (ASKED, [OURS], [[{**OURS, "display": "PACS"}], None], [[{**OURS, "display": "PACS"}], [OURS]]),
    (BARE, [OTHER, OURS], [None, None], [None, None]),
]


@pytest.mark.parametrize(("options", "endpoints", "before", "then"), LINKS)
def test_the_links_of_series(options, endpoints, before, then):
    """Ours if it is asked for, or if the study names others too; a second time changes nothing."""
    said = with_series_endpoints(study(endpoints, *before), "Endpoint/1", {"1", "2"}, frozenset(), options)
    assert [one.get("endpoint") for one in said["series"]] == then
    assert with_series_endpoints(said, "Endpoint/1", {"1", "2"}, frozenset(), options) is said


@pytest.mark.parametrize("options", [PLAIN, BARE])
def test_only_what_we_wrote_goes(options):
    """A link that another wrote before us, or has changed since, stays."""
    before = study([OURS], None, [OURS], None)
    said = with_series_endpoints(before, "Endpoint/1", {"1", "2", "3"}, frozenset(), ASKED)
    marks = series_endpoint_marks(said, before, "Endpoint/1")
    assert len(marks) == 2
    said["series"][2]["endpoint"] = [{**OURS, "display": "PACS"}]
    left = with_series_endpoints(said, "Endpoint/1", {"1", "2", "3"}, marks, options)
    assert [one.get("endpoint") for one in left["series"]] == [None, [OURS], [{**OURS, "display": "PACS"}]]
