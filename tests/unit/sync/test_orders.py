"""The order that a study answers: linked where its accession number leads to one without doubt, and never guessed."""

from contextlib import suppress
from dataclasses import replace

import pytest

from shared.errors import FhirRefusedError, OutageError, ThrottledError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action
from shared.model.failures import ErrorTable
from shared.model.options import OrderLink
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import STUDY, FakeArchive, FakeErrors, FakeFeed, FakeFhir, entry, ports

SYSTEM = "urn:oid:1.2.3"
TYPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
PATIENT = {"resourceType": "Patient", "id": "1", "meta": {"versionId": "1"}, "identifier": [{"value": "P-1"}]}
OTHER = PATIENT | {"id": "2", "identifier": [{"value": "P-2"}]}
MAPPING = MappingOptions("https://dicom.example.org")
ISSUER = {
    "vr": "SQ",
    "Value": [{"00400032": {"vr": "UT", "Value": ["1.2.3"]}, "00400033": {"vr": "CS", "Value": ["ISO"]}}],
}


def order(id_="7", value="A-1", subject="Patient/1", **said):
    """A ServiceRequest; what is None is left out."""
    made = {
        "resourceType": "ServiceRequest",
        "id": id_,
        "meta": {"versionId": "1"},
        "status": "active",
        "identifier": [{"type": TYPE, "value": value}],
        "subject": {"reference": subject},
    }
    return {name: one for name, one in (made | said).items() if one is not None}


def of(number="A-1", sequence=1, **tags):
    return entry(sequence, instance=f"1.2.3.4.{sequence}", t00080050=number, **tags)


class Server(FakeFhir):
    """Counts searches for orders; `refusal` is raised by each."""

    def __init__(self, *resources, refusal=None):
        super().__init__(resources=list(resources))
        self.refusal = refusal
        self.asked = 0
        self.read_ = []

    def read(self, reference):
        self.read_.append(reference)
        return super().read(reference)

    def search(self, resource_type, query):
        if resource_type == "ServiceRequest":
            self.asked += 1
            if self.refusal:
                raise self.refusal
        return super().search(resource_type, query)


def synced(fhir, *entries, mapping=MAPPING, **others):
    """What FHIR says of the study once the entries are synced, and the rows that were written."""
    fakes = ports(fhir=fhir, errors=FakeErrors(), feed=FakeFeed(list(entries)), **others)
    run_batch(fakes, BatchOptions(mapping, size=100))
    return fakes


def study(fhir):
    (found,) = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    return found


def based_on(fhir):
    return [one.get("reference") or one["identifier"]["value"] for one in study(fhir).get("basedOn", [])]


def told(fakes):
    assert {row.table for row in fakes.errors.rows} <= {ErrorTable.INVALID_TAG}
    return sorted({row.exception for row in fakes.errors.rows})


BOTH = {"identifier": [{"type": TYPE, "system": SYSTEM, "value": "A-1"}]}
LINKS = [
    # rule, tags, orders, linked to, row
    ("no order", {}, [], [], []),
    ("its number", {}, [order()], ["ServiceRequest/7"], []),
    ("another number", {}, [order(value="A-2")], [], []),
    ("number and system", {"t00080051": ISSUER}, [order(**BOTH)], ["ServiceRequest/7"], []),
    ("of the system whatever its type", {"t00080051": ISSUER}, [order(identifier=[{"system": SYSTEM, "value": "A-1"}])], ["ServiceRequest/7"], []),
    ("of another system", {"t00080051": ISSUER}, [order(identifier=[{"type": TYPE, "system": "urn:x", "value": "A-1"}])], [], []),
    ("of no system, where ours has one", {"t00080051": ISSUER}, [order()], [], []),
    ("of some system, where ours has none", {}, [order(**BOTH)], ["ServiceRequest/7"], []),
    ("of another type", {}, [order(identifier=[{"type": {"coding": [{"code": "PLAC"}]}, "value": "A-1"}])], [], []),
    ("of no type", {}, [order(identifier=[{"value": "A-1"}])], [], []),
    ("two with one number", {}, [order(), order("8")], [], ["SeveralOrders"]),
    ("two of two systems", {}, [order(), order("8", **BOTH)], [], ["SeveralOrders"]),
    ("two, and a system that tells them apart", {"t00080051": ISSUER}, [order(), order("8", **BOTH)], ["ServiceRequest/8"], []),
    ("one of two is in error", {}, [order(), order("8", status="entered-in-error")], ["ServiceRequest/7"], []),
    ("one is of another patient", {}, [order(subject="Patient/2")], [], ["OrderOfAnotherPatient"]),
    ("of one that is not there", {}, [order(subject="Patient/9")], [], ["OrderOfAnotherPatient"]),
    ("of a group", {}, [order(subject="Group/1")], [], ["OrderOfAnotherPatient"]),
    ("of nobody", {}, [order(subject=None) | {"subject": None}], [], ["OrderOfAnotherPatient"]),
    ("its patient by a version", {}, [order(subject="Patient/1/_history/1")], ["ServiceRequest/7"], []),
    ("its patient by identifier", {}, [order() | {"subject": {"identifier": {"value": "P-1"}}}], ["ServiceRequest/7"], []),
    ("another by identifier", {}, [order() | {"subject": {"identifier": {"value": "P-2"}}}], [], ["OrderOfAnotherPatient"]),
    ("by an identifier of another system", {}, [order() | {"subject": {"identifier": {"value": "P-1", "system": "urn:x"}}}], [], ["OrderOfAnotherPatient"]),
    ("its patient under the name that a registry gave up", {}, [order(subject="Patient/3")], ["ServiceRequest/7"], []),
    ("of a Patient who is malformed", {}, [order(subject="Patient/4")], [], ["OrderOfAnotherPatient"]),
    ("of what would be another path", {}, [order(subject="Patient/../../metadata?x=")], [], ["OrderOfAnotherPatient"]),
    ("a number whose issuer is broken", {"t00080051": {"vr": "SQ", "Value": ["x"]}}, [order()], [], ["InvalidDicomTagError"]),
    ("odd identifiers", {}, [order(identifier="A-1"), order("8", identifier=[None, {"type": 7, "value": "A-1"}])], [], []),
]  # fmt: skip
MERGED = {
    **PATIENT,
    "id": "3",
    "identifier": [],
    "link": [{"type": "replaced-by", "other": {"reference": "Patient/1"}}],
}


MALFORMED = {**PATIENT, "id": "4", "identifier": {"value": "P-9"}, "link": [{"type": "replaced-by"}]}


@pytest.mark.parametrize(("rule", "tags", "orders", "links", "rows"), LINKS, ids=[row[0] for row in LINKS])
def test_what_a_number_leads_to(rule, tags, orders, links, rows):
    """One order of the study's patient that carries the number, and no other does; else nothing, and a row."""
    fhir = Server(PATIENT, OTHER, MERGED, MALFORMED, *orders)
    fakes = synced(fhir, of(**tags))
    assert not any(".." in reference for reference in fhir.read_)
    assert fakes.order_searches.are_taken(fakes.now())
    assert (based_on(fhir), told(fakes)) == (links, rows), rule
    for row in fakes.errors.rows:
        assert row.message.startswith("(0008,005")
        assert "A-1" not in row.message
    version = study(fhir)["meta"]["versionId"]
    fakes.watermarks.rewind()
    run_batch(fakes, BatchOptions(MAPPING, size=100))
    assert study(fhir)["meta"]["versionId"] == version  # again, nothing is written


ODD = [
    None,
    "x",
    7,
    [],
    {},
    [None],
    [7],
    [{}],
    {"reference": [7]},
    {"reference": None},
    {"identifier": [7]},
    {"identifier": {"value": []}},
]


@pytest.mark.parametrize("said", ODD, ids=str)
@pytest.mark.parametrize("element", ["identifier", "subject", "encounter", "status", "meta"])
def test_an_order_of_odd_elements(element, said):
    """The study is synced, whatever another system has put on an order."""
    fhir = Server(PATIENT, order() | {element: said})
    fakes = synced(fhir, of())
    assert based_on(fhir) in ([], ["ServiceRequest/7"])
    assert set(told(fakes)) <= {"OrderOfAnotherPatient"}


def test_a_new_patient_by_identifier():
    """The order names one whom FHIR gets with the study."""
    fhir = Server(order() | {"subject": {"identifier": {"value": "P-1"}}})
    synced(fhir, of())
    assert based_on(fhir) == ["ServiceRequest/7"]


@pytest.mark.parametrize(("value", "reads"), [("P-1", []), ("P-7", ["Patient/1"])])
def test_a_patient_by_identifier_is_read_only_where_another_is_named(value, reads):
    """The Patient was found by the study's PatientID: that it carries it is known."""
    patient = PATIENT | {"identifier": [*PATIENT["identifier"], {"value": "P-7"}]}
    fhir = Server(patient, order() | {"subject": {"identifier": {"value": value}}})
    synced(fhir, of())
    assert (based_on(fhir), fhir.read_) == (["ServiceRequest/7"], reads)


def test_each_request_that_the_study_answers():
    """RequestAttributesSequence has an accession number of its own for each; one that is broken is told."""
    request = [{"00080050": {"vr": "SH", "Value": [number]}} for number in ("A-2", "A-1", "A" * 17)]
    fhir = Server(PATIENT, order(), order("8", "A-2"))
    fakes = synced(fhir, of(t00400275={"vr": "SQ", "Value": request}))
    assert based_on(fhir) == ["ServiceRequest/7", "ServiceRequest/8"]
    assert {row.message.split(" ")[0] for row in fakes.errors.rows} == {"(0040,0275)"}


SETTINGS = [
    (OrderLink.OFF, [], []),
    (OrderLink.LINK, [], ["ServiceRequest/7"]),
    (OrderLink.LINK_OR_IDENTIFIER, ["A-1"], ["ServiceRequest/7"]),
]


@pytest.mark.parametrize(("setting", "without", "with_"), SETTINGS)
def test_an_order_that_comes_after_its_study(setting, without, with_):
    """What the study says before, and once a later instance, or a replay, has it looked up again."""
    mapping = replace(MAPPING, order_link=setting)
    fhir = Server(PATIENT)
    synced(fhir, of(), mapping=mapping)
    assert based_on(fhir) == without
    fhir.resources.append(order())
    synced(fhir, of(), of(sequence=2), mapping=mapping)
    assert based_on(fhir) == with_
    assert fhir.asked == 0 or setting is not OrderLink.OFF


def test_without_the_extended_mapping_nothing_is_looked_up():
    """The row is one of ours."""
    fhir = Server(PATIENT, order())
    synced(fhir, of(), mapping=replace(MAPPING, extended=False))
    assert (based_on(fhir), fhir.asked) == ([], 0)


def rebuilt(fhir, *held, mapping=MAPPING):
    """The study as a replay of it leaves it."""
    fakes = ports(fhir=fhir, archive=FakeArchive({STUDY: list(held)}), errors=FakeErrors())
    study_ = Study([replace(one, sequence=0) for one in held], whole=(STUDY, "Microsoft.Default"))
    StudySync(fakes, mapping).run_all([study_])
    return based_on(fhir)


ENCOUNTER = {"reference": "Encounter/5"}


def test_what_nobody_says_any_more_goes():
    """A number that was corrected takes its link and its encounter along; what another system linked stays."""
    fhir = Server(PATIENT, order(encounter=ENCOUNTER), order("8", "A-2"))
    synced(fhir, of())
    assert study(fhir)["encounter"] == ENCOUNTER
    theirs = {"reference": "CarePlan/1"}
    study(fhir)["basedOn"].append(theirs)
    synced(fhir, replace(of("A-2"), action=Action.UPDATE))
    assert based_on(fhir) == ["CarePlan/1", "ServiceRequest/8"]
    assert "encounter" not in study(fhir)
    assert rebuilt(fhir, of(None)) == ["CarePlan/1"]


def test_a_rebuild_reads_the_patient_of_an_order_once():
    """All instances are read already: whether others lead to the orders that the study has is not asked."""
    patient = PATIENT | {"identifier": [*PATIENT["identifier"], {"value": "P-7"}]}
    fhir = Server(patient, order() | {"subject": {"identifier": {"value": "P-7"}}})
    synced(fhir, of())
    fhir.read_.clear()
    assert rebuilt(fhir, of()) == ["ServiceRequest/7"]
    assert fhir.read_ == ["Patient/1"]


def test_what_another_system_linked_is_theirs():
    """Also where it equals what we would write: it stays when the number goes."""
    fhir = Server(PATIENT, order(encounter=ENCOUNTER))
    synced(fhir, of(), mapping=replace(MAPPING, order_link=OrderLink.OFF))
    study(fhir).update(basedOn=[{"reference": "ServiceRequest/7"}], encounter={"reference": "Encounter/6"})
    synced(fhir, of(), of(sequence=2))
    assert rebuilt(fhir, of(None)) == ["ServiceRequest/7"]
    assert study(fhir)["encounter"] == {"reference": "Encounter/6"}


def test_a_second_order_of_one_number_takes_the_link_away():
    """Which of the two it is, nobody knows any more; a row says so, and closes once one of them is gone."""
    fhir = Server(PATIENT, order(encounter=ENCOUNTER))
    synced(fhir, of())
    fhir.resources.append(order("8"))
    fakes = synced(fhir, of(), of(sequence=2))
    assert (based_on(fhir), told(fakes)) == ([], ["SeveralOrders"])
    assert "encounter" not in study(fhir)
    fhir.resources.remove(order("8"))
    fakes.feed.held = [*fakes.feed.held, of(sequence=3)]
    run_batch(fakes, BatchOptions(MAPPING, size=100))
    assert based_on(fhir) == ["ServiceRequest/7"]
    assert fakes.errors.open_() == []


ENCOUNTERS = [
    (ENCOUNTER, ENCOUNTER),
    (ENCOUNTER | {"display": "Ward"}, ENCOUNTER),
    ({"identifier": {"value": "V-1"}}, {"identifier": {"value": "V-1"}}),
    ({"reference": "#e"}, None),
    ({"display": "Ward"}, None),
    ("Encounter/5", None),
    (None, None),
]


@pytest.mark.parametrize(("said", "filled"), ENCOUNTERS, ids=str)
def test_the_encounter_of_the_order(said, filled):
    """A reference that can stand on the study; none to what the order contains."""
    fhir = Server(PATIENT, order(encounter=said))
    synced(fhir, of())
    assert study(fhir).get("encounter") == filled


def test_orders_of_several_encounters_name_none():
    """To take one of them would be a guess."""
    requests = {"vr": "SQ", "Value": [{"00080050": {"vr": "SH", "Value": ["A-2"]}}]}
    fhir = Server(PATIENT, order(encounter=ENCOUNTER), order("8", "A-2", encounter={"reference": "Encounter/6"}))
    synced(fhir, of(t00400275=requests))
    assert len(based_on(fhir)) == 2
    assert "encounter" not in study(fhir)


def test_a_study_that_is_ours_alone_is_deleted_with_its_links():
    """And one that another has linked stays, cancelled."""
    for theirs in ([], [{"reference": "CarePlan/1"}]):
        fhir = Server(PATIENT, order(encounter=ENCOUNTER))
        synced(fhir, of())
        study(fhir)["basedOn"] += theirs
        fakes = ports(
            fhir=fhir, archive=FakeArchive(), feed=FakeFeed([replace(of(), action=Action.DELETE, metadata=None)])
        )
        run_batch(fakes, BatchOptions(MAPPING, size=100))
        kinds = [one["resourceType"] for one in fhir.resources]
        assert ("ImagingStudy" in kinds) is bool(theirs)


FAULTS = [
    FhirRefusedError("status 400", status=400),
    FhirRefusedError("status 403", status=403),
    TransientError("status 500"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_server_that_refuses_the_search(fault):
    """Studies are written without a link, and no order is asked for again for an hour; what is linked stays."""
    fhir = Server(PATIENT, order(), refusal=None)
    synced(fhir, of())
    fhir.refusal = fault
    fakes = synced(
        fhir,
        replace(of("A-2"), action=Action.UPDATE),
        *(entry(n, study=f"1.{n}", series=f"1.{n}.1", instance=f"1.{n}.1.1", t00080050=f"B-{n}") for n in range(2, 9)),
    )
    assert len([one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]) == 8
    assert fakes.errors.rows == []
    first = next(one for one in fhir.resources if one["resourceType"] == "ImagingStudy" and "basedOn" in one)
    assert first["basedOn"] == [{"reference": "ServiceRequest/7"}]
    asked = fhir.asked
    fakes.feed.held = [*fakes.feed.held, of("A-3", 20)]
    run_batch(fakes, BatchOptions(MAPPING, size=100))
    assert fhir.asked == asked
    fhir.refusal = None
    fakes.sleep(3601)
    fakes.feed.held = [*fakes.feed.held, of("A-3", 21)]
    run_batch(fakes, BatchOptions(MAPPING, size=100))
    assert fhir.asked > asked


@pytest.mark.parametrize("fault", [ThrottledError("429"), OutageError("FHIR server", "down")], ids=str)
def test_what_befalls_the_whole_server_is_no_word_on_orders(fault):
    """The study waits as for any other search."""
    fhir = Server(PATIENT, refusal=fault)
    fakes = ports(fhir=fhir, errors=FakeErrors(), feed=FakeFeed([of()]))
    with suppress(OutageError):
        run_batch(fakes, BatchOptions(MAPPING, size=100))
    assert [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"] == []
    assert fakes.order_searches.are_taken(fakes.now())


def test_the_searches_of_many_studies_are_made_together():
    """At most one call for twenty studies more."""
    entries = [
        entry(n, study=f"1.{n}", series=f"1.{n}.1", instance=f"1.{n}.1.1", t00100020=f"P-{n}", t00080050=f"A-{n}")
        for n in range(1, 101)
    ]
    calls = []
    for setting in (OrderLink.OFF, OrderLink.LINK):
        fhir = Server()
        synced(fhir, *entries, mapping=replace(MAPPING, order_link=setting))
        calls.append(fhir.calls)
    assert calls[1] - calls[0] <= 100 / 20
