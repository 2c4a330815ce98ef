"""What part of the body a series shows: by a code where the standard has it, else by the term."""

import pytest
from pydicom.sr._concepts_dict import concepts

from shared.mapping.body_parts import code_of, codes, meanings
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from tests.fakes import entry

SCT = "http://snomed.info/sct"
HAND = {"system": SCT, "code": "85562004", "display": "HAND"}


def region(code="85562004", scheme="SCT", meaning="Hand", *more):
    said = {"00080100": code, "00080102": scheme, "00080104": meaning}
    item = {tag: {"vr": "SH", "Value": [value]} for tag, value in said.items() if value}
    return {"vr": "SQ", "Value": [item, *more]}


SAYS = [
    # rule, BodyPartExamined, AnatomicRegionSequence, without SNOMED CT, bodySite
    ("a term of the standard's", "HAND", None, False, HAND),
    ("a term of the vendor's", "UPPER HAND", None, False, {"display": "UPPER HAND"}),
    ("a term on which readings differ", "THORAX", None, False, {"display": "THORAX"}),
    ("a term of several meanings", "JAW", None, False, {"display": "JAW"}),
    ("the region's code before the term", "ARM", region(), False, HAND | {"display": "Hand"}),
    ("the region alone", None, region(), False, HAND | {"display": "Hand"}),
    ("a region of a site's own", "HAND", region("X1", "99L", "House"), False, {"code": "X1", "display": "House"}),
    ("a region by its meaning", None, region(None, None, "Hand"), False, {"display": "Hand"}),
    ("a region by a retired code", None, region("T-D8700", "SRT", "Hand"), False, HAND | {"display": "Hand"}),
    ("a region by a retired code, without a licence", None, region("T-D8700", "SRT", "Hand"), True, {"display": "Hand"}),
    ("an empty region", "HAND", {"vr": "SQ", "Value": [{}]}, False, HAND),
    ("nothing", None, None, False, None),
    ("without a licence: the term", "HAND", None, True, {"display": "HAND"}),
    ("without a licence: the region's meaning", "HAND", region(), True, {"display": "Hand"}),
    ("without a licence: another system's code", None, region("RID56", "RADLEX", "abdomen"), True, {"system": "http://www.radlex.org", "code": "RID56", "display": "abdomen"}),
    ("without a licence and a meaning: the term", "HAND", region(meaning=None), True, {"display": "HAND"}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "term", "regions", "is_off", "said"), SAYS, ids=[row[0] for row in SAYS])
def test_the_body_site_of_a_series(rule, term, regions, is_off, said):
    """PS3.3 10.5 and C.7.3.1; `DicomCast__Features__SnomedBodySite`."""
    options = MappingOptions("https://d", snomed_body_site=not is_off)
    mapped = StudyMapper(options).map(entry(t00180015=term, t00082218=regions))
    assert mapped.series.set.get("bodySite") == said, rule
    assert mapped.faults == ()


@pytest.mark.parametrize(
    "regions",
    [
        region("85562004", "SCT", "Hand", {"00080104": {"vr": "LO", "Value": ["Foot"]}}),
        region(7),
        {"vr": "SQ", "Value": ["x"]},
    ],
    ids=str,
)
def test_a_region_that_cannot_be_used(regions):
    """The term stands, and the sequence is told."""
    mapped = StudyMapper(MappingOptions("https://d")).map(entry(t00180015="HAND", t00082218=regions))
    assert mapped.series.set["bodySite"] == HAND
    assert {fault.tag for fault in mapped.faults} == {"(0008,2218)"}
    alone = StudyMapper(MappingOptions("https://d")).map(entry(t00082218=regions))
    assert "bodySite" not in alone.series.set


def test_each_code_is_one_that_the_standard_has_for_the_meaning():
    """Against pydicom's own tables of PS3.16; of several codes with one meaning it must be one of them.

    These nine stand in no context group under the table's meaning: the two other readings have them.
    """
    known = {
        (code, meaning.casefold()) for by_code in concepts["SCT"].values() for code, (meaning, *_) in by_code.items()
    }
    others = [term for term, code in codes().items() if (code, meanings()[term].casefold()) not in known]
    arteries, veins = ["CELIACA", "PENILEA"], ["LPORTALV", "RPORTALV"]
    assert sorted(others) == sorted(
        ["CALF", "CHOROIDPLEXUS", "CULDESAC", "GESTSAC", "MORISONSPOUCH", *arteries, *veins]
    )
    assert {codes()[term] for term in others} <= {code for code, _ in known}
    assert len(codes()) == 322
    assert code_of("CHEST") == "816094009"
