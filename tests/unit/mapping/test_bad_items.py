"""Lists with items that are empty, or invalid, beside good ones: the good ones are kept."""

import pytest

from shared.errors import InvalidDicomTagError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from tests.fakes import entry


def code(value="", scheme="", meaning=""):
    """A coded entry; what is empty is there without a value (type 2)."""
    said = {"00080100": value, "00080102": scheme, "00080104": meaning}
    return {key: {"vr": "LO", "Value": [text]} if text else {"vr": "LO"} for key, text in said.items()}


def listed(*items, vr="SQ"):
    return {"vr": vr, "Value": list(items)}


def request(*reasons):
    """Of RequestAttributesSequence; its RequestedProcedureID keeps it from being empty."""
    return {"00401001": {"vr": "SH", "Value": ["R1"]}, "0040100A": listed(*reasons)}


HEAD, TRAUMA, NEITHER = code("CTHEAD", "99X", "Head"), code("TRAUMA", "99X", "Trauma"), code()
LONG, BLANKS, SCHEME_ONLY = code("A" * 17, "99X", "long"), code("A  B", "99X", "blanks"), code("", "99X")
OF_SCHEME = {"00080103": {"vr": "SH", "Value": ["2024"]}, "0008010C": {"vr": "UI", "Value": ["1.2"]}}
ELSE, NO_CODE = {"00080301": {"vr": "US", "Value": [1]}}, {"00080100": {"vr": "SH", "Value": 7}}
BLANK, NULL = {key: {"Value": [" "]} for key in NEITHER}, {key: {"Value": None} for key in NEITHER}
PROCEDURES, REASONS, REQUESTS, PERFORMERS = "t00081032", "t0040100A", "t00400275", "t00081050"

LISTS = [
    # rule                                            tags                                             what is said        keywords of faults
    ("an empty item says nothing",                    {PROCEDURES: listed(NEITHER)},                   [],                 []),
    ("nor one of blanks",                             {PROCEDURES: listed(BLANK, {})},                 [],                 []),
    ("nor one of nulls",                              {PROCEDURES: listed(NULL, None)},                [],                 []),
    ("an empty item beside a good one",               {PROCEDURES: listed(NEITHER, HEAD)},             ["Head"],           []),
    ("a code that is too long beside a good one",     {PROCEDURES: listed(LONG, HEAD)},                ["Head"],           ["ProcedureCodeSequence"]),
    ("a code that FHIR has not beside a good one",    {PROCEDURES: listed(BLANKS, HEAD)},              ["Head"],           ["ProcedureCodeSequence"]),
    ("a scheme alone names nothing",                  {PROCEDURES: listed(SCHEME_ONLY)},               [],                 []),
    ("a scheme alone beside a good one",              {PROCEDURES: listed(SCHEME_ONLY, HEAD)},         ["Head"],           []),
    ("a scheme with its UID and version alone",       {PROCEDURES: listed(SCHEME_ONLY | OF_SCHEME, HEAD)}, ["Head"],       []),
    ("a scheme without a code, and something else",   {PROCEDURES: listed(SCHEME_ONLY | ELSE, HEAD)},  ["Head"],           ["ProcedureCodeSequence"]),
    ("a scheme, and a code that is none",             {PROCEDURES: listed(SCHEME_ONLY | NO_CODE, HEAD)}, ["Head"],         ["ProcedureCodeSequence"]),
    ("a scheme alone of a request",                   {REQUESTS: listed(request(SCHEME_ONLY, TRAUMA))}, ["Trauma"],        []),
    ("no object beside a good one",                   {PROCEDURES: listed("CTHEAD", HEAD)},            ["Head"],           ["ProcedureCodeSequence"]),
    ("bad ones alone",                                {PROCEDURES: listed(LONG, 7)},                   [],                 ["ProcedureCodeSequence"] * 2),
    ("bad ones of one kind are told once",            {PROCEDURES: listed(LONG, HEAD, LONG)},          ["Head"],           ["ProcedureCodeSequence"]),
    ("reasons: empty and bad beside good",            {REASONS: listed(NEITHER, LONG, TRAUMA)},        ["Trauma"],         ["ReasonForRequestedProcedureCodeSequence"]),
    ("an empty reason of a request",                  {REQUESTS: listed(request(NEITHER))},            [],                 []),
    ("of one request empty, of the other good",       {REQUESTS: listed(request(NEITHER), request(TRAUMA))}, ["Trauma"],   []),
    ("of one request bad, of the other good",         {REQUESTS: listed(request(LONG), request(TRAUMA))}, ["Trauma"],      ["ReasonForRequestedProcedureCodeSequence"]),
    ("of one request no list, of the other good",     {REQUESTS: listed({"0040100A": 7}, request(TRAUMA))}, ["Trauma"],   ["ReasonForRequestedProcedureCodeSequence"]),
    ("a request that is no object beside a good one", {REQUESTS: listed(7, request(TRAUMA))},          ["Trauma"],         ["RequestAttributesSequence"]),
    ("a request's item that is none, beside a good",  {REQUESTS: listed(request(7, TRAUMA))},          ["Trauma"],         ["ReasonForRequestedProcedureCodeSequence"]),
    ("good beside the study, empty of a request",     {REASONS: listed(TRAUMA), REQUESTS: listed(request(NEITHER))}, ["Trauma"], []),
    ("good beside the study, bad of a request",       {REASONS: listed(TRAUMA), REQUESTS: listed(request(LONG))}, ["Trauma"], ["ReasonForRequestedProcedureCodeSequence"]),
    ("bad beside the study, good of a request",       {REASONS: listed(LONG), REQUESTS: listed(request(TRAUMA))}, ["Trauma"], ["ReasonForRequestedProcedureCodeSequence"]),
    ("no list beside the study, good of a request",   {REASONS: {"vr": "SQ", "Value": 7}, REQUESTS: listed(request(TRAUMA))}, ["Trauma"],         ["ReasonForRequestedProcedureCodeSequence"]),
    ("a performer that is too long beside a good one", {PERFORMERS: listed({"Alphabetic": "A" * 65}, {"Alphabetic": "Roe^Kim"}, vr="PN")}, ["Kim Roe"], ["PerformingPhysicianName"]),
    ("an empty performer beside a good one",          {PERFORMERS: listed({"Alphabetic": ""}, {}, {"Alphabetic": "Roe^Kim"}, vr="PN")}, ["Kim Roe"], []),
]  # fmt: skip


def said_of(mapped):
    study, series = mapped.study.add, mapped.series.add
    concepts = [*study.get("procedureCode", ()), *study.get("reasonCode", ())]
    return [one["text"] for one in concepts] + [one["actor"]["display"] for one in series.get("performer", ())]


@pytest.mark.parametrize(("rule", "tags", "said", "told"), LISTS, ids=[row[0] for row in LISTS])
def test_an_item_spoils_itself_alone(rule, tags, said, told):
    """An empty one is absent, never invalid; a bad one is told, and the rest of the list is what it would be."""
    mapped = StudyMapper(MappingOptions("https://dicom.example.org")).map(entry(**tags))
    assert said_of(mapped) == said, rule
    assert [fault.keyword for fault in mapped.faults] == told


@pytest.mark.parametrize(("rule", "tags", "said", "told"), LISTS, ids=[row[0] for row in LISTS])
def test_where_validation_is_enforced_an_empty_item_is_no_fault(rule, tags, said, told):
    """And a bad one is, however good its neighbours are."""
    mapper = StudyMapper(MappingOptions("https://dicom.example.org", enforce_validation=True))
    if not told:
        assert said_of(mapper.map(entry(**tags))) == said, rule
        return
    with pytest.raises(InvalidDicomTagError) as caught:
        mapper.map(entry(**tags))
    assert [tag.keyword for tag in caught.value.tags] == told


def test_an_empty_name_beside_one_does_not_count():
    """PatientName has one value (PS3.6)."""
    name = listed({"Alphabetic": " "}, {"Alphabetic": "Roe^Kim", "Phonetic": None}, vr="PN")
    mapped = StudyMapper(MappingOptions("https://dicom.example.org")).map(entry(t00100010=name))
    assert (mapped.patient.set["name"][0]["family"], mapped.faults) == ("Roe", ())


def test_items_nested_without_end_are_looked_into_to_a_depth():
    """What a sender nests a thousand deep is none of ours to follow."""
    item = {}
    for _ in range(5000):
        item = {"00081032": {"vr": "SQ", "Value": [item]}}
    mapped = StudyMapper(MappingOptions("https://dicom.example.org")).map(entry(t00081032=listed(item, HEAD)))
    assert said_of(mapped) == ["Head"]
