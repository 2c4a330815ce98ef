"""The manners themselves: each does to a plain client what it says."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import requests

from tests.integration.manners import manners as m
from tests.integration.manners.proxy import mannered_proxy


class Client:
    """A plain FHIR client before a proxy, with a Patient's identifier of its own."""

    def __init__(self, proxy):
        self.proxy, self.url = proxy, f"{proxy.url}/fhir"
        self.value = f"P-{uuid4().hex}"

    def find(self, resource_type="Patient", **headers):
        query = {"identifier": f"|{self.value}"}
        bundle = requests.get(f"{self.url}/{resource_type}", params=query, headers=headers, timeout=30).json()
        return [entry["resource"] for entry in bundle.get("entry", [])]

    def batch_find(self):
        request = {"method": "GET", "url": f"Patient?identifier=%7C{self.value}"}
        batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": request}]}
        (entry,) = requests.post(self.url, json=batch, timeout=30).json()["entry"]
        return [one["resource"] for one in entry["resource"].get("entry", [])]

    def create(self, **elements):
        """A conditional create, in a transaction."""
        return self.transact(self.entry(**elements))

    def entry(self, resource_type="Patient", **elements):
        resource = {"resourceType": resource_type, "identifier": [{"value": self.value}], **elements}
        request = {"method": "POST", "url": resource_type, "ifNoneExist": f"identifier=%7C{self.value}"}
        return {"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource, "request": request}

    def update(self, resource, version=None, **elements):
        request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
        request |= {"ifMatch": f'W/"{version}"'} if version else {}
        return self.transact({"resource": resource | elements, "request": request})

    def delete(self, resource, version):
        url = f"{resource['resourceType']}/{resource['id']}"
        return self.transact({"request": {"method": "DELETE", "url": url, "ifMatch": f'W/"{version}"'}})

    def transact(self, *entries):
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
        return requests.post(self.url, json=bundle, headers={"Prefer": "return=minimal"}, timeout=30)


@pytest.fixture
def client(fhir_url):
    with mannered_proxy(fhir_url.removesuffix("/fhir"), []) as proxy:
        yield Client(proxy)


def response(answer):
    (entry,) = answer.json()["entry"]
    return entry["response"]


def test_without_manners(client):
    """The server as if its base were the proxy's; what is asked is kept."""
    told = response(client.create())
    assert told["location"].startswith(f"{client.url}/Patient/")
    assert [len(client.find()), len(client.batch_find())] == [1, 1]
    assert [request.method for request, _ in client.proxy.asked] == ["POST", "GET", "POST"]


def test_meta_and_versions(client):
    client.create()
    (held,) = client.find()
    client.proxy.manners = [m.versionless_searches]
    assert list(client.find()[0]["meta"]) == ["lastUpdated"]
    client.proxy.manners = [m.searches_without_meta]
    assert "meta" not in client.find()[0]
    assert "meta" not in client.batch_find()[0]
    read = requests.get(f"{client.url}/Patient/{held['id']}", timeout=30)
    assert read.headers["etag"] == 'W/"1"'
    assert "versionId" not in read.json()["meta"]


def test_answers_to_transactions(client):
    client.create()
    (held,) = client.find()
    told = {}
    for manner in (m.version_in_etag_alone, m.no_location, m.no_location_nor_etag, m.bare_status, m.ids_change_case):
        client.proxy.manners = [manner]
        told[manner] = response(client.update(held))
    assert told[m.version_in_etag_alone]["location"] == f"{client.url}/Patient/{held['id']}"
    assert set(told[m.no_location]) == {"status", "etag"}
    assert set(told[m.no_location_nor_etag]) == {"status"}
    assert told[m.bare_status]["status"] == "200"
    capitals = held["id"].upper()
    assert f"/Patient/{capitals}/_history/" in told[m.ids_change_case]["location"]
    assert client.update(held | {"id": capitals}).ok
    assert [one["id"] for one in client.find()] == [held["id"]]


def test_limits(client):
    client.proxy.manners = [m.Limited(isolated=2), m.Small(5_000), m.LongUrlsRefused(414, 100)]
    other = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    assert client.transact(client.entry(), other, other).status_code == 400
    assert client.transact(other, other, other).ok
    assert client.create(address=[{"text": "x" * 5_000}]).status_code == 413
    assert client.create().ok
    assert requests.get(f"{client.url}/Patient?identifier={'x' * 100}", timeout=30).status_code == 414
    assert requests.post(f"{client.url}/Patient/_search", data={"identifier": "x" * 100}, timeout=30).ok


def test_searches_that_lag(client):
    """Not there, the old version, still there: for so many seconds, while a read by id is current."""
    client.proxy.manners = [m.Lagging(1)]
    client.create(gender="male")
    assert client.find() == client.batch_find() == []
    assert response(client.create())["status"].startswith("201"), "conditional create searches too"
    time.sleep(1.1)
    one, double = client.find()
    client.delete(double, 1)
    assert len(client.find()) == 2
    client.update(one, gender="female")
    assert {found["gender"] for found in client.find() if "gender" in found} == {"male"}
    assert requests.get(f"{client.url}/Patient/{one['id']}", timeout=30).json()["gender"] == "female"
    time.sleep(1.1)
    assert [found["gender"] for found in client.find()] == ["female"]


def test_searches_that_are_cached(client):
    client.proxy.manners = [m.Cached()]
    assert client.find() == []
    client.create()
    assert client.find() == client.batch_find() == []
    assert len(client.find(**{"Cache-Control": "no-cache"})) == 1


def test_conditional_create_without_a_lock(client):
    """Four at once make four; a fifth finds them."""
    client.proxy.manners = [m.Racy(at_once=4, patience_seconds=10)]
    endpoint = client.entry("Endpoint", status="test")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.transact(endpoint), range(4)))
    assert {response(answer)["status"] for answer in answers} == {"201 Created"}
    assert len(client.find("Endpoint")) == 4


def test_conditional_writes(client):
    client.create()
    (held,) = client.find()
    client.proxy.manners = [m.StaleAnswered(409)]
    assert client.update(held, version=7).status_code == 409
    client.proxy.manners = [m.put_creates]
    assert client.update(held, version=7).status_code == 412
    unknown = held | {"id": str(uuid4())}
    assert response(client.update(unknown, version=1))["status"] == "201 Created"
    client.proxy.manners = [m.LinkedTo("DiagnosticReport/2"), m.if_match_on_delete]
    assert client.delete(held, 7).status_code == 412
    assert "DiagnosticReport/2" in client.delete(held | {"resourceType": "ImagingStudy"}, 1).text
    assert client.delete(held, 1).ok


def test_what_is_kept_of_meta(client):
    client.proxy.manners = [m.source_dropped]
    client.create(meta={"source": "urn:a", "tag": [{"code": "b"}]})
    (held,) = client.find()
    assert (held["meta"].get("source"), held["meta"]["tag"]) == (None, [{"code": "b"}])
    client.proxy.manners = [m.source_with_request_id]
    client.update(held, meta={"source": "urn:a"})
    assert client.find()[0]["meta"]["source"].startswith("urn:a#")


def test_pages_of_two(client):
    for _ in range(5):
        client.transact({"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "identifier": [{"value": client.value}]}, "request": {"method": "POST", "url": "Observation"}})  # fmt: skip
    client.proxy.manners = [m.Paged(lambda token: f"{client.url}?_getpages={token}")]
    url, pages = f"{client.url}/Observation?identifier=%7C{client.value}", []
    while url:
        bundle = requests.get(url, timeout=30).json()
        pages.append([entry["resource"]["id"] for entry in bundle["entry"]])
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({one for page in pages for one in page}) == 5
