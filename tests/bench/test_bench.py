"""The benchmark's own parts: what they compare is equal, and what they measure is what they say."""

import copy
import re
from itertools import pairwise
from uuid import uuid4

import pytest
import requests

from local.compare import compare
from local.compare_rules import Rules
from local.dicom_service import store
from shared import bootstrap
from shared.settings.config import read_settings
from tests.bench import hapi, orders
from tests.bench.bars import Bar
from tests.bench.hapi_worker import renumbered
from tests.bench.memory_fhir import MemoryFhir
from tests.bench.reference import Reference
from tests.bench.sampler import stage_of
from tests.bench.workloads import ROOT_UID, cr_studies, ct_studies, hospital_day, instances
from tests.integration.dicom_service_client import running


@pytest.fixture
def fhir():
    """The in-memory FHIR server's URL."""
    with running(MemoryFhir()) as client:
        yield client.url


def post(fhir, *entries):
    return requests.post(fhir, json={"resourceType": "Bundle", "type": "transaction", "entry": entries}, timeout=30)


def found(fhir, resource_type, query=""):
    answer = requests.get(f"{fhir}/{resource_type}?{query}", timeout=30)
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def patient(value, **request):
    resource = {"resourceType": "Patient", "identifier": [{"system": "s", "value": value}]}
    return {
        "fullUrl": f"urn:uuid:{value}",
        "resource": resource,
        "request": {"method": "POST", "url": "Patient"} | request,
    }


def studies_in(fhir):
    """By identifier, without what the server gave them; links as what they point to."""
    told = {}
    for study in found(fhir, "ImagingStudy"):
        one = {name: value for name, value in copy.deepcopy(study).items() if name != "extension"}  # the app's record
        linked = requests.get(f"{fhir}/{one['subject']['reference']}", timeout=30).json()
        one |= {
            "id": "",
            "meta": one["meta"]["source"],
            "subject": linked["identifier"],
            "endpoint": len(one["endpoint"]),
        }
        told[one["identifier"][0]["value"]] = one
    return told


@pytest.mark.parametrize("work", [ct_studies(2, 6), hospital_day(6)], ids=lambda work: work.name)
def test_reference_and_app_write_the_same(work, dicom, dicom_app, fhir, storage):
    """Equal ImagingStudy resources after creates and after deletes, and both say what DICOM holds."""
    settings = {
        "AzureWebJobsStorage": storage,
        "DicomWeb__Endpoint": dicom.url,
        "Fhir__Endpoint": fhir,
        "DicomCast__Features__ExtendedMapping": "false",
        "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
    }
    app, rules = bootstrap.build(read_settings(settings)), Rules.of(settings)
    database = dicom_app.state.database
    store.add(database, store.DEFAULT_PARTITION, list(instances(work)))
    with running(MemoryFhir()) as other:
        reference = Reference(dicom.url, other.url)
        after = 0
        for phase in ("created", "deleted"):
            if phase == "deleted":
                study = work.studies[0]
                first = f"{study.series_uid(0)}.0"
                store.delete(database, store.ResourcePath(study.uid, study.series_uid(0), first))
                store.delete(database, store.ResourcePath(work.studies[1].uid))
            while app.tick().lag.entries:
                pass
            through = app.status().watermark.sequence
            reference.sync(reference.feed(after, through))
            after = through
            assert studies_in(fhir) == studies_in(other.url)
            for url in (fhir, other.url):
                assert not [one.differences for one in compare(dicom.url, url, (), rules=rules) if one.differences]


def test_a_transaction_writes_all_or_nothing(fhir):
    """A version that is not held refuses the bundle; what stands before it is not written."""
    created = post(fhir, patient("a")).json()["entry"][0]["resource"]
    update = {"resource": created, "request": {"method": "PUT", "url": f"Patient/{created['id']}", "ifMatch": 'W/"2"'}}
    assert post(fhir, patient("b"), update).status_code == 412
    assert [one["identifier"][0]["value"] for one in found(fhir, "Patient")] == ["a"]
    update["request"]["ifMatch"] = 'W/"1"'
    assert post(fhir, update).json()["entry"][0]["response"]["etag"] == 'W/"2"'


def test_a_conditional_create_finds_what_is_there(fhir):
    """200 instead of 201, and links inside the bundle point to it."""
    held = post(fhir, patient("a")).json()["entry"][0]["resource"]
    study = {"resourceType": "ImagingStudy", "subject": {"reference": "urn:uuid:a"}}
    create = {"fullUrl": "urn:uuid:s", "resource": study, "request": {"method": "POST", "url": "ImagingStudy"}}
    answer = post(fhir, patient("a", ifNoneExist="identifier=s%7Ca"), create).json()["entry"]
    assert [one["response"]["status"] for one in answer] == ["200", "201"]
    assert answer[1]["resource"]["subject"]["reference"] == f"Patient/{held['id']}"


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("identifier=s%7Ca", ["a"]),
        ("identifier=s%7Ca,s%7Cx%5C,y", ["a", "x,y"]),
        ("identifier=%7Ca", []),
        ("identifier=s%7Cnone", []),
    ],
)
def test_searches_by_identifier(fhir, query, values):
    """One or several, with FHIR's escapes; an empty system is one of its own."""
    post(fhir, patient("a"), patient("x,y"))
    assert sorted(one["identifier"][0]["value"] for one in found(fhir, "Patient", query)) == values
    batch = {"type": "batch", "entry": [{"request": {"method": "GET", "url": f"Patient?{query}"}}]}
    answer = requests.post(fhir, json=batch, timeout=30).json()["entry"][0]["resource"]
    assert answer["total"] == len(values)


def test_an_unknown_parameter_is_refused(fhir):
    """A server that ignores it would answer with everything."""
    assert requests.get(f"{fhir}/Patient?name=x", timeout=30).status_code == 400


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        (["shared/mapping/text.py:uid", "shared/mapping/resources.py:map"], "map"),
        (["shared/mapping/merge_study.py:put", "shared/sync/queue/study.py:_merge"], "merge"),
        (["/json/decoder.py:raw_decode", "shared/clients/json_body.py:json_of", "shared/clients/dicom/change_feed_reader.py:_json"], "feed JSON"),
        (["/json/encoder.py:iterencode", "shared/clients/fhir.py:transact"], "FHIR JSON"),
        (["/socket.py:readinto", "site-packages/requests/sessions.py:send", "shared/clients/dicom/change_feed_reader.py:_get"], "HTTP"),
        (["/socket.py:readinto", "site-packages/azure/core/x.py:send", "shared/clients/azure/watermark.py:write"], "storage"),
        (["shared/sync/read/plan.py:by_study"], "rest"),
    ],
)  # fmt: skip
def test_the_stage_of_a_stack(stack, stage):
    """By the innermost function that belongs to one."""
    assert stage_of(stack) == stage


def test_a_bar_is_met_at_its_limit():
    """Least or most."""
    assert [Bar("", 5, measured, "x").is_met for measured in (4.9, 5, 6)] == [False, True, True]
    assert [Bar("", 5, measured, "x", is_most=True).is_met for measured in (4.9, 5, 6)] == [True, True, False]
    assert [Bar("", 5, 4, "x", is_of_machine=told).fails for told in (False, True)] == [True, False]
    assert "**missed**" in str(Bar("", 5, 4, "x", is_of_machine=True))


def test_the_work_is_what_it_says():
    """Each entry with UIDs of its own; a day has its modalities, and interleaves them."""
    day = hospital_day(60)
    made = list(instances(day))
    assert len({one.sop_instance_uid for one in made}) == len(made) == day.entries
    assert {study.modality for study in day.studies} == {"CR", "US", "CT", "MR", "RF", "NM"}
    changes = sum(one.study_instance_uid != other.study_instance_uid for one, other in pairwise(made))
    assert changes > len(day.studies)
    assert not re.search("@[A-Z]+@", "".join(one.metadata for one in made[:200]))


def test_a_replay_is_of_other_studies_and_patients():
    """No number of the transaction is left, wherever it stands, and no byte is added."""
    number, other = 1_100_001, 6_100_001
    sent = (
        f'{{"value":"urn:oid:{ROOT_UID}.{number}","uid":"{ROOT_UID}.{number}.0.1","patient":"BENCH-{number}",'
        f'"ifNoneExist":"identifier=urn%3Adicom%3Auid%7Curn%3Aoid%3A{ROOT_UID}.{number}"}}'
    )
    assert renumbered(sent.encode(), 11, 61).decode() == sent.replace(str(number), str(other))
    assert hapi.FIRST // hapi.APART + hapi.REPLAYED // hapi.APART == 60


@pytest.mark.parametrize(("calls", "is_met"), [(100, True), (101, True), (102, False)])
def test_the_bar_of_orders(calls, is_met):
    """One call more per 20 studies, in the dearest of all ways."""
    costs = [orders.OrderCost("", "", 20, 1000, 100, number) for number in (100, calls)]
    (bar,) = orders.bars(costs)
    assert bar.is_met == is_met


def test_the_bars_on_hapi():
    """Calls are counted per 600 studies whatever was measured, and a ratio is of rates: below 1 the app is slower."""
    one = hapi.Beside(cr_studies(60), 2.0, 1.0, 3.0, 2.0, 7, 2, 1000)
    calls, ratio = hapi.bars([one])
    assert (calls.measured, calls.is_met) == (70, False)
    assert (ratio.measured, ratio.is_met) == (0.5, False)
    (ratio,) = hapi.bars([hapi.Beside(ct_studies(1, 10), 1.0, 0.9, 3.0, 2.0, 3, 1, 1000)])
    assert (ratio.measured, ratio.is_met) == (0.9, True)
