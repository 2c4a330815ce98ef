"""Who made a series, what an instance is called, and what becomes of it where FHIR says it already."""

import pytest

from shared.mapping.last_applied import mark
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")
PHYSICIANS, OPERATORS, NAMES, TITLE = "t00081050", "t00081070", "t0040A043", "t00420010"


def people(*names):
    return {"vr": "PN", "Value": [{"Alphabetic": name} for name in names]}


def concept(*meanings):
    """A concept name; a meaning of None is broken."""
    items = [
        {"00080100": {"vr": "SH", "Value": ["113000" if one else 7]}, "00080104": {"vr": "LO", "Value": [one or "x"]}}
        for one in meanings
    ]
    return {"vr": "SQ", "Value": items}


def mapped(**tags):
    return StudyMapper(OPTIONS).map(entry(**tags))


PERFORMERS = [
    # rule, tags, function and display of each performer, tags that are told
    ("the physician", {PHYSICIANS: people("Holmes^Mary")}, [("PRF", "Mary Holmes")], []),
    ("the operator", {OPERATORS: people("Watson^John")}, [("SPRF", "John Watson")], []),
    ("both, physicians first", {OPERATORS: people("B"), PHYSICIANS: people("A", "C")},
     [("PRF", "A"), ("PRF", "C"), ("SPRF", "B")], []),
    ("one who was both is named as both", {PHYSICIANS: people("A"), OPERATORS: people("A")},
     [("PRF", "A"), ("SPRF", "A")], []),
    ("who is named twice, once", {OPERATORS: people("A", "A")}, [("SPRF", "A")], []),
    ("a broken name beside sound ones", {PHYSICIANS: people("A"), OPERATORS: people("B" * 65, "C")},
     [("PRF", "A"), ("SPRF", "C")], ["(0008,1070)"]),
    ("nobody", {PHYSICIANS: people(""), OPERATORS: people()}, [], []),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tags", "found", "told"), PERFORMERS, ids=[row[0] for row in PERFORMERS])
def test_who_made_a_series(rule, tags, found, told):
    """By what they did."""
    instance = mapped(**tags)
    performers = instance.series.add.get("performer", ())
    assert [(one["function"]["coding"][0]["code"], one["actor"]["display"]) for one in performers] == found
    assert [fault.tag for fault in instance.faults] == told


TITLES = [
    # rule, tags, title, tags that are told
    ("a document's own title", {TITLE: "Discharge letter", NAMES: concept("Letter")}, "Discharge letter", []),
    ("a report's name", {NAMES: concept("Chest CT Report")}, "Chest CT Report", []),
    ("an empty title says nothing", {TITLE: " ", NAMES: concept("Of Interest")}, "Of Interest", []),
    ("a broken title", {TITLE: 7, NAMES: concept("Of Interest")}, "Of Interest", ["(0042,0010)"]),
    ("a broken name", {TITLE: "Letter", NAMES: concept(None)}, "Letter", ["(0040,A043)"]),
    ("a broken name beside a sound one", {NAMES: concept(None, "Report")}, "Report", ["(0040,A043)"]),
    ("nothing", {}, None, []),
]


@pytest.mark.parametrize(("rule", "tags", "title", "told"), TITLES, ids=[row[0] for row in TITLES])
def test_what_an_instance_is_called(rule, tags, title, told):
    """Images have no title."""
    instance = mapped(**tags)
    assert instance.instance.set.get("title") == title
    assert [fault.tag for fault in instance.faults] == told


def synced(fhir, *entries, options=OPTIONS):
    run_batch(ports(list(entries), fhir=fhir), BatchOptions(options, size=100))
    (study,) = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    return study


def test_a_performer_of_before_gets_the_function():
    """With the next instance of the series, once, and not beside; the same name that another wrote stays."""
    fhir = FakeFhir()
    series = synced(fhir, entry(1, **{PHYSICIANS: people("A")}))["series"][0]
    (present,) = series["performer"]
    former, theirs = {"actor": present["actor"]}, {"actor": {**present["actor"], "reference": "Practitioner/1"}}
    series["performer"] = [former, theirs]
    record = fhir.resources[-1]["extension"][0]
    path = f"{series['uid']}/performer"
    marks = {*record["valueString"].split(), mark(path, former)} - {mark(path, present)}
    record["valueString"] = " ".join(sorted(marks))
    entries = [entry(number, instance=f"1.2.3.4.{number}", **{PHYSICIANS: people("A")}) for number in (5, 6)]
    assert synced(fhir, entry(1, **{PHYSICIANS: people("A")}), *entries)["series"][0]["performer"] == [theirs, present]
    sent = len(fhir.bundles)
    synced(fhir, entry(1, **{PHYSICIANS: people("A")}), *entries)
    assert len(fhir.bundles) == sent


@pytest.mark.parametrize(("is_asked", "links"), [(False, None), (True, [{"reference": "Endpoint/1"}])])
def test_each_series_names_the_endpoint_where_that_is_asked(is_asked, links):
    """A second run writes nothing."""
    fhir, options = FakeFhir(), MappingOptions("https://dicom.example.org", series_endpoint=is_asked)
    entries = entry(1), entry(2, series="1.2.9", instance="1.2.9.1")
    study = synced(fhir, *entries, options=options)
    assert [one.get("endpoint") for one in study["series"]] == [links, links]
    sent = len(fhir.bundles)
    synced(fhir, *entries, options=options)
    assert len(fhir.bundles) == sent
