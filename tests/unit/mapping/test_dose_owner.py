"""One report in several studies, or series: each has Observations of its own, and takes out no other's."""

import copy

import pytest

from shared.mapping.converters import urn
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_report, remove_report
from shared.mapping.dose.observation import ReportInstance
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.transaction import Create, Delete, Update
from tests.dose_reports import REPORT, ct, ct_event

SERVICE = "https://dicom.example.org"
OPTIONS = MappingOptions(SERVICE)
A, B = "1.2.3", "1.2.4"
LINKS = {urn("ImagingStudy", A): "ImagingStudy/7", urn("ImagingStudy", B): "ImagingStudy/8"}
OWN = "urn:dicom-cast:source"


def report(study=A, series="1.2.3.9", **more):
    return ct(ct_event(1), StudyInstanceUID=study, SeriesInstanceUID=series, **more)


def merged(held, metadata, **more):
    return merge_report(held, map_dose_report(metadata, OPTIONS), LINKS, OPTIONS, **more)


def removed(held, study=A, series="1.2.3.9", **more):
    return remove_report(held, ReportInstance(study, series, REPORT), LINKS, OPTIONS, **more)


def held_after(metadata, first=1):
    return [
        write.resource | {"id": str(number), "meta": {**write.resource["meta"], "versionId": "1"}}
        for number, write in enumerate(merged([], metadata), first)
    ]


def of_before(metadata):
    """As they were made when a report had one set of Observations, whatever study held it."""
    former = [
        {"system": OWN, "value": urn("Observation", SERVICE, *uids)} for uids in ((REPORT,), (REPORT, "1.2.3.9.1.1"))
    ]
    return [with_own(one, [own]) for one, own in zip(held_after(metadata), former, strict=True)]


def with_own(observation, own):
    return observation | {"identifier": own + [one for one in observation["identifier"] if one.get("system") != OWN]}


def unlinked(observation):
    return {name: value for name, value in observation.items() if name not in ("partOf", "derivedFrom")}


def ids(writes):
    return [(type(write), write.resource.get("id")) for write in writes]


@pytest.mark.parametrize("other", [{"study": B}, {"series": "1.2.3.8"}], ids=["study", "series"])
def test_the_same_report_elsewhere_has_its_own(other):
    """Made beside the others, found again, changed and deleted without them."""
    first, second = held_after(report()), held_after(report(**other), first=5)
    assert ids(merged(first, report(**other))) == [(Create, None)] * 2
    held = [*first, *second]
    assert merged(held, report()) == merged(held, report(**other)) == []
    assert ids(merged(held, report(**other, CompletionFlag="PARTIAL"))) == [(Update, "5"), (Update, "6")]
    assert ids(removed(held)) == [(Delete, "1"), (Delete, "2")]
    assert ids(removed(held, **other)) == [(Delete, "5"), (Delete, "6")]


def test_all_have_names_of_their_own_in_one_transaction():
    """Also those of the same study in two data partitions."""
    options = [OPTIONS, OPTIONS.of_partition("north")]
    reports = [(one, metadata) for one in options for metadata in (report(), report(B), report(series="1.2.3.8"))]
    names = [wanted.name for one, metadata in reports for wanted in map_dose_report(metadata, one).observations]
    assert len(names) == len(set(names)) == 12


BEFORE = [
    # name, what the Observations of before are made
    ("own identifier without the study", lambda one: one),
    ("no own identifier", lambda one: with_own(one, [])),
    ("by another URL of the service", lambda one: with_own(one, [{"system": OWN, "value": "urn:uuid:x"}]) | {"meta": {"versionId": "1"}}),
    ("a versioned link", lambda one: one | {"partOf": [{"reference": "imagingstudy/7"}],
                                            "derivedFrom": [{"reference": "ImagingStudy/7/_history/2"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "made"), BEFORE, ids=[row[0] for row in BEFORE])
def test_those_of_before_are_the_study_s_that_they_link_to(name, made):
    """Nothing is written anew for the sake of an identifier, nothing is made twice; another study leaves them alone."""
    held = [made(one) for one in of_before(report())]
    before = copy.deepcopy(held)
    assert merged(held, report()) == []
    assert ids(merged(held, report(B))) == [(Create, None)] * 2
    assert removed(held, B) == []
    assert held == before


def test_those_of_before_get_an_identifier_with_the_next_write():
    """It is then theirs alone; the former one stays beside it."""
    held = of_before(report())
    updates = merged(held, report(CompletionFlag="PARTIAL"))
    assert ids(updates) == [(Update, "1"), (Update, "2")]
    for update, old, new in zip(updates, held, held_after(report()), strict=True):
        assert [one for one in update.resource["identifier"] if one.get("system") == OWN] == [
            *new["identifier"][:1],
            *old["identifier"][:1],
        ]
    assert merged([one.resource for one in updates], report(CompletionFlag="PARTIAL")) == []
    assert removed([unlinked(one.resource) for one in updates], B) == []
    assert ids(removed([unlinked(one.resource) for one in updates])) == [(Delete, "1"), (Delete, "2")]


def test_those_of_before_are_deleted_with_their_report():
    """Marked with an identifier first: without a link nothing else would tell whose they were."""
    deletes = removed(of_before(report()))
    assert ids(deletes) == [(Delete, "1"), (Delete, "2")]
    marked = [delete.marked for delete in deletes]
    assert all(not {"partOf", "derivedFrom"} & one.keys() for one in marked)
    assert removed(marked, B) == []
    assert ids(removed(marked)) == [(Delete, "1"), (Delete, "2")]
    assert [delete.marked for delete in removed(marked)] == marked


def test_what_no_link_and_no_identifier_shows_to_be_the_study_s_is_never_taken_out():
    """Somebody has removed its link; a report that is stored again takes it up, rather than to make it twice."""
    held = [unlinked(one) for one in of_before(report())]
    assert removed(held) == []
    assert ids(merged(held, report())) == [(Update, "1"), (Update, "2")]
    unsaid = unlinked(of_before(report())[1]) | {"id": "9", "identifier": held[1]["identifier"][2:]}
    assert merged([*held_after(report()), unsaid], report()) == []


def test_what_two_studies_share_stays_until_one_is_deleted():
    """They were made as one: the one that goes takes its link along."""
    both = [{"reference": "ImagingStudy/7"}, {"reference": "ImagingStudy/8"}]
    held = [one | {"partOf": both, "derivedFrom": both} for one in of_before(report())]
    assert merged(held, report()) == merged(held, report(B)) == []
    updates = removed(held)
    assert ids(updates) == [(Update, "1"), (Update, "2")]
    assert [(one.resource["partOf"], one.resource["status"]) for one in updates] == [([both[1]], "final")] * 2
    left = [one.resource for one in updates]
    assert merged(left, report(B)) == []
    assert ids(removed(left, B)) == [(Delete, "1"), (Delete, "2")]


def test_what_two_series_share_stays_while_one_has_it():
    """Nothing shows of which of them it is."""
    held = of_before(report())
    assert removed(held, is_elsewhere=True) == []
    assert merged(held, report(), is_elsewhere=True) == []
    assert merged([*held, *held_after(report(), 5)], report(), is_elsewhere=True) == []
    assert ids(removed(held)) == [(Delete, "1"), (Delete, "2")]
