"""What FHIR holds of a study, by identity: as it is, whatever its searches say of it yet."""

import copy

import pytest

from shared.errors import MultipleMatchingResourcesError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import map_endpoint
from shared.mapping.transaction import reference_of
from shared.sync.merge.endpoint_lookup import EndpointLookup
from shared.sync.merge.lookup import Lookup
from shared.sync.merge.patient_lookup import PatientLookup
from shared.sync.merge.resource_cache import DELETED, RecentWrites, ResourceCache
from shared.sync.merge.study_lookup import StudyLookup
from tests.fakes import STUDY, FakeFhir

URL = "https://dicom.example.org"
OPTIONS = MappingOptions(URL)
TAG = {"system": "urn:dicom-cast:source", "code": URL}
UID = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
PATIENT_ID = {"value": "P-1"}
ENDPOINT = map_endpoint(OPTIONS)


def study(id_="1", version="1", **more):
    meta = {"versionId": version, "tag": [TAG]}
    return {"resourceType": "ImagingStudy", "id": id_, "identifier": [UID], "meta": meta} | more


def patient(id_="1", version="1", **more):
    meta = {"versionId": version, "tag": [TAG]}
    return {"resourceType": "Patient", "id": id_, "identifier": [PATIENT_ID], "meta": meta} | more


class Lagging(FakeFhir):
    """`shown` is what searches find, whatever is there; reads are counted."""

    def __init__(self, there, shown):
        super().__init__(resources=list(there))
        self.shown, self.reads = shown, []

    def found(self, resource_type, query):
        return copy.deepcopy([one for one in self.shown if one["resourceType"] == resource_type])

    def read(self, reference):
        self.reads.append(reference)
        return super().read(reference)


def lookups(fhir, cache):
    """Of one batch: the searches, the studies and the Patients."""
    lookup = Lookup(fhir, cache.recent_writes)
    return lookup, StudyLookup(fhir, cache, lookup, OPTIONS), PatientLookup(fhir, lookup, OPTIONS)


NEW, OLD = study(version="2", status="available"), study(version="1", status="registered")

SEEN = [
    # name, what is there, what a search shows, what was noted of it, what is found, what is read
    ("as it is", [NEW], [NEW], None, [NEW], []),
    ("as it was written", [NEW], [NEW], "2", [NEW], []),
    ("not shown yet", [NEW], [], "2", [NEW], ["ImagingStudy/1"]),
    ("not shown yet, and not noted", [NEW], [], None, [], []),
    ("an older version shown", [NEW], [OLD], "2", [NEW], ["ImagingStudy/1"]),
    ("a newer one, of somebody else", [NEW], [NEW], "1", [NEW], ["ImagingStudy/1"]),
    ("shown without a version", [NEW], [study() | {"meta": {"tag": [TAG]}}], None, [NEW], ["ImagingStudy/1"]),
    ("gone, and shown still", [], [NEW], DELETED, [], ["ImagingStudy/1"]),
    ("gone by another, and shown still", [], [OLD], "2", [], ["ImagingStudy/1"]),
    ("gone, and not shown", [], [], DELETED, [], []),
    ("stored again under the same id", [NEW], [NEW], DELETED, [NEW], ["ImagingStudy/1"]),
    ("another's by now", [NEW | {"identifier": []}], [], "2", [], ["ImagingStudy/1"]),
    ("shown, of another identity", [], [study(identifier=[{"value": "x"}])], None, [], []),
]


@pytest.mark.parametrize(("name", "there", "shown", "noted", "found", "read"), SEEN, ids=[row[0] for row in SEEN])
def test_what_a_search_does_not_show_yet_is_read(name, there, shown, noted, found, read):
    """By the id that this host knows of its own write; what it does not know of is not looked for."""
    fhir, known = Lagging(there, shown), ResourceCache()
    _, studies, _ = lookups(fhir, known)
    if noted:
        known.recent_writes.note(studies.query(STUDY), "ImagingStudy/1", noted)
    assert studies.of(STUDY) == found
    assert fhir.reads == read
    assert studies.of(STUDY) == found
    if found and noted:
        assert known.recent_writes.of(studies.query(STUDY)) == [("ImagingStudy/1", "2")]


def test_a_version_that_was_not_told_is_read_once():
    """The write's answer named the resource alone; the read tells its version, and the next search agrees."""
    fhir, known = Lagging([NEW], []), ResourceCache()
    _, studies, _ = lookups(fhir, known)
    known.recent_writes.note(studies.query(STUDY), "ImagingStudy/1", None)
    assert studies.of(STUDY) == [NEW]
    fhir.shown = [NEW]
    assert studies.of(STUDY) == [NEW]
    assert fhir.reads == ["ImagingStudy/1"]


def test_ids_of_another_letter_case_are_one():
    """Some servers answer a write with capitals, and a search with small letters."""
    small = study("ab")
    fhir, known = Lagging([small], [small]), ResourceCache()
    _, studies, _ = lookups(fhir, known)
    known.recent_writes.note(studies.query(STUDY), "ImagingStudy/AB", "1")
    assert studies.of(STUDY) == [small]
    assert fhir.reads == []


def test_after_a_conflict_it_is_read_afresh():
    """A search may be answered from a cache: what it finds is read by its id, once; what was read ahead is forgotten."""
    fhir = Lagging([NEW, patient()], [OLD, patient()])
    lookup, studies, patients = lookups(fhir, ResourceCache())
    searches = [*studies.searches(STUDY), *patients.searches(PATIENT_ID)]
    lookup.read_ahead(searches)
    calls = fhir.calls
    lookup.read_afresh(searches[:1])
    assert studies.of(STUDY) == [NEW]
    assert patients.of(PATIENT_ID) == [patient()]
    assert fhir.calls - calls == 2  # the search and the read of the study; the Patient was read ahead
    assert fhir.reads == ["ImagingStudy/1"]
    fhir.shown = [NEW]
    assert studies.of(STUDY) == [NEW]
    assert fhir.reads == ["ImagingStudy/1"]


def test_orders_are_searched_for_once_in_a_batch_and_again_after_a_conflict():
    """Many studies of a day have one number; a conflict may be about an order that has come meanwhile."""
    fhir = FakeFhir()
    lookup, search = Lookup(fhir, RecentWrites()), ("ServiceRequest", "identifier=A-1")
    assert lookup.orders(search) == lookup.orders(search) == []
    assert fhir.calls == 1
    lookup.read_afresh([search])
    assert lookup.orders(search) == []
    assert fhir.calls == 2


def test_another_partition_s_study_counts_as_long_as_it_is_there():
    """A create needs another condition beside it (docs/adr/0038)."""
    elsewhere = study(identifier=[{"system": f"{URL}/partitions/north", "value": UID["value"]}, UID])
    fhir = FakeFhir(resources=[elsewhere])
    _, studies, _ = lookups(fhir, ResourceCache())
    assert (studies.of(STUDY), studies.is_elsewhere_too(STUDY)) == ([], True)
    fhir.resources.clear()
    assert (studies.of(STUDY), studies.is_elsewhere_too(STUDY)) == ([], False)


def test_what_is_remembered_is_not_asked_for():
    """The study alone; of the Patient others than we write."""
    fhir, known = Lagging([], []), ResourceCache()
    _, studies, _ = lookups(fhir, known)
    known.put(studies.query(STUDY), NEW)
    assert studies.is_cached(STUDY)
    assert studies.of(STUDY) == [NEW]
    assert fhir.calls == 0


THEIRS = {"meta": {"versionId": "1"}}
CLAIMED = {"meta": {"versionId": "1", "source": "https://ris.example.org", "tag": [TAG]}}

DOUBLES = [
    # name, what is there, the ids in their order, None where it stops the study
    ("one", [study("1")], ["1"]),
    ("two of ours", [study("10"), study("9")], ["9", "10"]),
    ("three of ours", [study("b"), study("c"), study("a")], ["a", "b", "c"]),
    ("one of ours, one of others", [study("1"), study("2", **THEIRS)], None),
    ("two of others", [study("1", **THEIRS), study("2", **THEIRS)], None),
    ("one that another has claimed", [study("1"), study("2", **CLAIMED)], None),
    ("one with another's note", [study("1"), study("2", note=[{"text": "x"}])], None),
]


@pytest.mark.parametrize(("name", "there", "ids"), DOUBLES, ids=[row[0] for row in DOUBLES])
@pytest.mark.parametrize("is_study", [True, False])
def test_doubles_are_taken_for_one_where_we_made_all(name, there, ids, is_study):
    """Else which one is meant would be a guess: the error names them all."""
    if not is_study:
        there = [
            {("contact" if name == "note" else name): value for name, value in one.items()}
            | {"resourceType": "Patient", "identifier": [PATIENT_ID]}
            for one in there
        ]
    _, studies, patients = lookups(FakeFhir(resources=there), ResourceCache())
    find = (lambda: studies.of(STUDY)) if is_study else (lambda: patients.of(PATIENT_ID))
    if ids is not None:
        assert [one["id"] for one in find()] == ids
        return
    with pytest.raises(MultipleMatchingResourcesError) as caught:
        find()
    assert all(reference_of(one) in str(caught.value) for one in there)


def endpoint(id_, updated="", **more):
    made = {"resourceType": "Endpoint", "id": id_, "meta": {"versionId": "1", "lastUpdated": updated}}
    return ENDPOINT.create | ENDPOINT.set | ENDPOINT.add | made | more


ENDPOINTS = [
    # name, what is there, the id that is used
    ("none", [], None),
    ("one", [endpoint("1")], "1"),
    ("the oldest", [endpoint("1", "2026-02-01"), endpoint("2", "2026-01-01")], "2"),
    ("without times, the first by its id", [endpoint("10"), endpoint("9")], "9"),
    ("ours before the older of another address", [endpoint("1", "2026-01-01", address="https://x"), endpoint("2", "2026-02-01")], "2"),
    ("another's name", [endpoint("1", name="x", identifier=[])], None),
    ("by our identifier, whatever its name", [endpoint("1", name="x")], "1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "there", "used"), ENDPOINTS, ids=[row[0] for row in ENDPOINTS])
def test_of_several_endpoints_one_is_used(name, there, used, caplog):
    """The same by every host; doubles are told of once, and stop nothing."""

    class All(FakeFhir):
        def found(self, resource_type, query):
            return copy.deepcopy(self.resources)

    lookup = EndpointLookup(Lookup(All(resources=there), RecentWrites()), ENDPOINT)
    for _ in range(2):
        assert (lookup.found() or {}).get("id") == used
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == (len(there) > 1)
    assert all(reference_of(one) in said for one in there for said in told)
