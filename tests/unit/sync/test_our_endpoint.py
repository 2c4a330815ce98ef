"""The Endpoint: made once in a process, whatever workers want it, and looked up again once it may be gone."""

import threading
import time

import pytest

from shared.errors import ConflictError, EndpointMismatchError, FhirRefusedError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.fhir import Written
from shared.sync.merge.lookup import Lookup
from shared.sync.merge.our_endpoint import OurEndpoint
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")


class Racy(FakeFhir):
    """Its conditional create is a search and then an insert, and both take their time."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.searches = 0

    def search(self, resource_type, query):
        with self.lock:
            self.searches += resource_type == "Endpoint"
            return super().search(resource_type, query)

    def transact(self, bundle):
        time.sleep(0.05)
        with self.lock:
            self.endpoints.append(bundle)
            number = str(len(self.endpoints))
            made = bundle["entry"][0]["resource"] | {"id": number}
            self.resources.append(made | {"meta": made["meta"] | {"versionId": "1"}})
            return [self.written(f"Endpoint/{number}")]

    def written(self, reference):
        return Written(created=True, reference=reference, version="1")


def made(fhir):
    fakes = ports(fhir=fhir)
    return OurEndpoint(fakes, Lookup(fhir, fakes.cache.recent_writes), OPTIONS)


def test_eight_lanes_make_one():
    """One makes it while the others wait; it is looked up once."""
    fhir = Racy()
    endpoint, start, told = made(fhir), threading.Barrier(8), []

    def worker():
        start.wait(10)
        told.append(endpoint.reference())

    workers = [threading.Thread(target=worker, daemon=True) for _ in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(10)
    assert told == ["Endpoint/1"] * 8
    assert (len(fhir.endpoints), fhir.searches) == (1, 1)


def test_one_that_was_forgotten_is_looked_up():
    """After a refusal it may be there no more; what is found is used, what is not is made."""
    fhir = FakeFhir()
    endpoint = made(fhir)
    assert not endpoint.is_known
    assert endpoint.reference() == "Endpoint/1"
    assert endpoint.is_known
    assert endpoint.forget()
    assert not endpoint.is_known
    assert not endpoint.forget()
    assert endpoint.reference() == "Endpoint/1"
    assert len(fhir.endpoints) == 1
    endpoint.forget()
    fhir.resources.clear()
    assert endpoint.reference() == "Endpoint/1"
    assert len(fhir.endpoints) == 2


@pytest.mark.parametrize("error", [FhirRefusedError("400"), ConflictError("409")])
def test_one_that_was_deleted_is_made_again(error):
    """A server that checks references refuses what links to it: the study is written in the same tick all the same."""

    class Strict(FakeFhir):
        def transact(self, bundle):
            there = {f"{one['resourceType']}/{one['id']}" for one in self.resources}
            linked = [link["reference"] for one in bundle["entry"] for link in one["resource"].get("endpoint", ())]
            if any(one.startswith("Endpoint/") and one not in there for one in linked):
                raise error
            return super().transact(bundle)

    fhir = Strict()
    sync = StudySync(ports(fhir=fhir), OPTIONS)
    sync.run_all([Study([entry(1)])])
    theirs = [{"resourceType": "Endpoint", "id": f"theirs-{number}"} for number in range(2)]  # the next id is another
    fhir.resources = [one for one in fhir.resources if one["resourceType"] != "Endpoint"] + theirs
    (outcome,) = sync.run_all([Study([entry(2, study="1.5", instance="1.5.1")])])
    assert (outcome.wrote, outcome.failures) == (True, ())
    (study,) = (one for one in fhir.resources if one["id"] == "2" and one["resourceType"] == "ImagingStudy")
    assert study["endpoint"] == [{"reference": "Endpoint/3"}]


def test_one_that_another_host_makes_meanwhile():
    """The conditional create names it: it is read, and used."""

    class Late(FakeFhir):
        def transact(self, bundle):
            if not self.resources:
                super().transact(bundle)
            return super().transact(bundle)

    assert made(Late()).reference() == "Endpoint/1"


def test_one_that_no_search_finds_yet():
    """Neither its version nor its place is told: it waits, and no second one is made by guess."""

    class Silent(FakeFhir):
        def found(self, resource_type, query):
            return []

        def transact(self, bundle):
            super().transact(bundle)
            return [Written(created=True, reference=None, version=None)]

    with pytest.raises(TransientError, match="no search finds it yet"):
        made(Silent()).reference()


def test_one_of_another_address_is_not_ours():
    """It is never written over."""
    fhir = FakeFhir()
    made(fhir).reference()
    fhir.resources[0]["address"] = "https://elsewhere.example.org"
    with pytest.raises(EndpointMismatchError):
        made(fhir).reference()
