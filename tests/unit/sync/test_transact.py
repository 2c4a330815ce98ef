"""Transactions: what is to go is marked first, a refused delete is judged by reading, and what was written is known."""

import threading

import pytest

from shared.errors import (
    ConflictError,
    DeleteRefusedError,
    FhirRefusedError,
    LeaseLostError,
    TransientError,
    UnversionedResourceError,
)
from shared.mapping.transaction import Create, Delete, Update
from shared.model.fhir import Written
from shared.sync.merge.resource_cache import DELETED, ResourceCache
from shared.sync.transact.transact import Size, combined, transact
from tests.fakes import FakeFhir, FakeLease


def resource(kind="ImagingStudy", id_="1", version="1", **more):
    return {"resourceType": kind, "id": id_, "meta": {"versionId": version}, "status": "available"} | more


def marked(one):
    return one | {"status": "cancelled"}


def delete(one):
    return Delete(one, marked(one), f"q{one['id']}")


def create(id_="x", kind="Patient"):
    made = {"resourceType": kind, "identifier": [{"value": id_}]}
    return Create(f"urn:uuid:{id_}", made, f"identifier=%7C{id_}", f"q{id_}")


class Server(FakeFhir):
    """`before[n]` is done before the transaction of that number; `refused` are references that are not deleted.

    `tells_versions`: whether the answer to a transaction does. `heeds`: If-Match on a delete.
    """

    def __init__(self, *resources, before=(), refused=(), tells_versions=True, heeds=True, error=ConflictError):
        super().__init__(resources=list(resources))
        self.before, self.refused, self.error = dict(before), refused, error
        self.tells_versions, self.heeds = tells_versions, heeds
        self.number = 0
        self.sent = []

    def transact(self, bundle):
        self.number += 1
        self.before.get(self.number, lambda server: None)(self)
        self.sent.append([(one["request"]["method"], one["request"]["url"]) for one in bundle["entry"]])
        for entry in bundle["entry"]:
            asked = entry["request"]
            if asked["method"] == "DELETE":
                if asked["url"] in self.refused:
                    raise self.error("409; it names DiagnosticReport/2")
                if not any(f"{one['resourceType']}/{one['id']}" == asked["url"] for one in self.resources):
                    raise FhirRefusedError("404")
                if not self.heeds:
                    held = self.read(asked["url"])
                    asked["ifMatch"] = f'W/"{held["meta"]["versionId"]}"'
        answers = super().transact(bundle)
        return answers if self.tells_versions else [Written(one.created, one.reference, None) for one in answers]

    def statuses(self):
        return {f"{one['resourceType']}/{one['id']}": one.get("status") for one in self.resources}


def edited(reference):
    """Another system adds a note."""

    def edit(server):
        (held,) = (one for one in server.resources if f"{one['resourceType']}/{one['id']}" == reference)
        server.resources.remove(held)
        version = str(int(held["meta"]["versionId"]) + 1)
        server.resources.append(held | {"note": [{"text": "x"}], "meta": {"versionId": version}})

    return edit


def removed(reference):
    """Another system deletes it."""

    def remove(server):
        server.resources[:] = [one for one in server.resources if f"{one['resourceType']}/{one['id']}" != reference]

    return remove


def run(server, *writes, known=None, lease=None):
    transact(server, lease or FakeLease(), known or ResourceCache(), list(writes))


@pytest.mark.parametrize("tells_versions", [True, False])
@pytest.mark.parametrize("heeds", [True, False])
def test_what_goes_is_marked_and_deleted(tells_versions, heeds):
    """In two transactions; a search that shows it still is not believed."""
    server, known = Server(resource(), tells_versions=tells_versions, heeds=heeds), ResourceCache()
    known.put("q1", resource())
    run(server, delete(resource()), create(), known=known)
    assert server.sent == [[("PUT", "ImagingStudy/1"), ("POST", "Patient")], [("DELETE", "ImagingStudy/1")]]
    assert server.statuses() == {"Patient/1": None}
    assert known.get("q1") is None
    assert known.recent_writes.of("q1") == [("ImagingStudy/1", DELETED)]


def test_what_is_marked_already_is_deleted_at_once():
    """A crash between the two, or a delete that was refused, leaves it so."""
    server = Server(marked(resource()))
    run(server, delete(marked(resource())))
    assert server.sent == [[("DELETE", "ImagingStudy/1")]]
    assert server.resources == []


RACES = [
    # name, whether If-Match is heeded on a delete, before which transaction the other writes
    ("before it is marked", True, 1),
    ("before it is marked, If-Match ignored on DELETE", False, 1),
    ("between the two", True, 2),
]


@pytest.mark.parametrize(("name", "heeds", "number"), RACES, ids=[row[0] for row in RACES])
def test_what_another_wrote_meanwhile_is_not_deleted(name, heeds, number):
    """It is a conflict: to be read and judged again."""
    server = Server(resource(), before={number: edited("ImagingStudy/1")}, heeds=heeds)
    with pytest.raises(ConflictError):
        run(server, delete(resource()))
    (held,) = server.resources
    assert held["note"] == [{"text": "x"}]


@pytest.mark.parametrize("heeds", [True, False])
def test_what_another_wrote_where_versions_are_not_told(heeds):
    """The version that a read gives then is the other's: it is no licence to delete what he wrote."""

    class Edited(Server):
        def read(self, reference):
            if self.number == 1 and "note" not in self.resources[0]:
                edited(reference)(self)
            return super().read(reference)

    server = Edited(resource(), tells_versions=False, heeds=heeds)
    with pytest.raises(ConflictError):
        run(server, delete(resource()))
    assert server.resources[0]["note"] == [{"text": "x"}]


@pytest.mark.parametrize("number", [1, 2])
def test_what_another_has_deleted(number):
    """Before it is marked that is a conflict; after, it is what was wanted."""
    server = Server(resource(), before={number: removed("ImagingStudy/1")})
    if number == 1:
        with pytest.raises(StopIteration):  # the fake's word for a 404
            run(server, delete(resource()))
        return
    known = ResourceCache()
    run(server, delete(resource()), known=known)
    assert known.recent_writes.of("q1") == [("ImagingStudy/1", DELETED)]


@pytest.mark.parametrize("error", [ConflictError, FhirRefusedError])
def test_a_delete_that_is_refused(error):
    """As another links to it: it stays marked, and the error says who refused and what to do."""
    server = Server(resource(), refused=["ImagingStudy/1"], error=error)
    with pytest.raises(DeleteRefusedError) as caught:
        run(server, delete(resource()))
    assert server.statuses() == {"ImagingStudy/1": "cancelled"}
    for told in ("ImagingStudy/1 is not deleted", "cancelled", "DiagnosticReport/2", "replay the study"):
        assert told in str(caught.value)


def test_one_refused_delete_of_several_does_not_keep_the_others():
    """What links to others goes first."""
    server = Server(resource(), resource(id_="2"), resource("Observation", "3"), refused=["ImagingStudy/1"])
    known = ResourceCache()
    with pytest.raises(DeleteRefusedError) as caught:
        run(server, *(delete(resource(*one)) for one in (("ImagingStudy", "1"), ("ImagingStudy", "2"), ("Observation", "3"))), known=known)  # fmt: skip
    assert server.statuses() == {"ImagingStudy/1": "cancelled"}
    assert "ImagingStudy/2" not in str(caught.value)
    assert [one[0][1] for one in server.sent[2:]] == ["Observation/3", "ImagingStudy/2", "ImagingStudy/1"]
    assert [known.recent_writes.of(query)[0][1] == DELETED for query in ("q1", "q2", "q3")] == [False, True, True]


def test_a_delete_that_fails_in_passing_is_tried_again_later():
    """A 503 is no refusal."""

    class Failing(Server):
        def transact(self, bundle):
            if bundle["entry"][0]["request"]["method"] == "DELETE":
                raise TransientError("503", status=503)
            return super().transact(bundle)

    server = Failing(resource())
    with pytest.raises(TransientError) as caught:
        run(server, delete(resource()))
    assert not isinstance(caught.value, ConflictError)
    assert server.statuses() == {"ImagingStudy/1": "cancelled"}


@pytest.mark.parametrize("meta", [{}, {"meta": {}}, {"meta": {"lastUpdated": "2026-01-01T00:00:00Z"}}])
@pytest.mark.parametrize("write", [Update, delete])
def test_what_has_no_version_is_not_written(meta, write):
    """Nobody's writes would be safe; nothing is sent."""
    server = Server(resource())
    bare = {name: value for name, value in resource().items() if name != "meta"} | meta
    with pytest.raises(UnversionedResourceError, match="version of ImagingStudy/1"):
        run(server, write(bare))
    assert server.sent == []


@pytest.mark.parametrize("checks", [0, 1])
def test_the_lease_is_held_for_each_transaction(checks):
    """A host that froze between the two does not delete what another has judged since."""
    server = Server(resource())
    with pytest.raises(LeaseLostError):
        run(server, delete(resource()), lease=FakeLease(checks=checks))
    assert len(server.sent) == checks
    assert "ImagingStudy/1" in server.statuses()


@pytest.mark.parametrize("tells_versions", [True, False])
def test_what_a_create_has_made_is_known(tells_versions):
    """The study by its content, where its version is told; by its reference in any case."""
    server, known = Server(tells_versions=tells_versions), ResourceCache()
    run(server, create("s", "ImagingStudy"), create("p"), known=known)
    held = known.get("qs")
    assert (held is not None) == tells_versions
    assert held is None or (held["id"], held["meta"]["versionId"]) == ("1", "1")
    assert known.get("qp") is None  # a Patient is read each time
    version = "1" if tells_versions else None
    assert known.recent_writes.of("qs") == [("ImagingStudy/1", version)]
    assert known.recent_writes.of("qp") == [("Patient/1", version)]


def test_a_create_that_found_another_is_a_conflict():
    """What it found is known by its reference, and is read."""
    server = Server(resource("Patient", "7", identifier=[{"value": "x"}]))
    known = ResourceCache()
    with pytest.raises(ConflictError):
        run(server, create(), known=known)
    assert known.recent_writes.of("qx") == [("Patient/7", None)]


def test_what_another_lane_makes_is_not_made_again():
    """It is waited for, and then nothing is sent: what was read is old."""
    server, known = Server(), ResourceCache()
    inside, may_end = threading.Event(), threading.Event()

    def other():
        with known.recent_writes.creating(["urn:uuid:x"]):
            inside.set()
            may_end.wait(10)

    threading.Thread(target=other, daemon=True).start()
    assert inside.wait(10)
    threading.Timer(0.1, may_end.set).start()
    with pytest.raises(ConflictError, match="another lane"):
        run(server, create(), known=known)
    assert server.sent == []


def test_the_writes_of_several_studies():
    """What they share is written once; where they differ about it they do not go together."""
    a, b = Update(resource("Patient", "1")), Update(resource("Patient", "1", gender="male"))
    other = Update(resource("ImagingStudy", "1"))
    assert combined([[a], [a, other]]) == [a, other]
    assert combined([[a], [b, other]]) is None
    assert combined([]) == []


@pytest.mark.parametrize(
    ("writes", "size"),
    [
        ([], Size()),
        ([create()], Size(1, 0, conditional=True)),
        ([Update(resource(series=[{"instance": [{}, {}]}, {}]))], Size(1, 2)),
        ([delete(resource(series=[{"instance": [{}]}])), create()], Size(2, 1, conditional=True)),
    ],
)
def test_the_size_of_a_transaction(writes, size):
    """Entries and listed instances; with one conditional create it is of the other kind."""
    assert Size.of(writes) == size
    assert size + Size(1, 1) == Size(size.writes + 1, size.listed + 1, size.conditional)
