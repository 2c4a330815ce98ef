"""The check of FHIR against DICOM reads any server: its pages to their end, fresh, and what the app made by any sign."""

from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.fhir_account import FhirAccount, Partition, SearchError, relative, search
from tests.integration.dicom_service_client import running

SERVICE = "http://dicom.example.org"
TAG = "urn:dicom-cast:source"


@contextmanager
def fhir_server(answers):
    """Answers a GET by its path, or path and query. Gives the server's origin, and the requests that it was sent."""
    asked = []

    def answer(request):
        asked.append(request)
        paths = (f"{request.url.path}?{request.url.query}", request.url.path)
        known = [answers[path] for path in paths if path in answers]
        return JSONResponse((known or [{"resourceType": "OperationOutcome"}])[0], 200 if known else 404)

    with running(Starlette(routes=[Route("/{path:path}", answer)])) as client:
        yield client.url, asked


def bundle(*ids, following=None, **more):
    """A page of Patients."""
    links = [{"relation": "self", "url": "x"}, *([{"relation": "next", "url": following}] if following else [])]
    entries = [{"resource": {"resourceType": "Patient", "id": one}} for one in ids]
    return {"resourceType": "Bundle", "link": links, "entry": entries} | more


@pytest.mark.parametrize(
    "following",
    [
        "/fhir?_getpages=1",  # an absolute path
        "?_getpages=1",  # of the search itself
        "Patient?_getpages=1",  # beside it
        "//{origin}/fhir?_getpages=1",
        "http://{origin}/fhir?_getpages=1",  # HAPI
    ],
)
def test_all_pages_are_read(following):
    """However the link to the next is written; each is asked for afresh, as HAPI answers from a cache for a minute."""
    pages = {"/fhir?_getpages=1": bundle("2"), "/fhir/Patient?_getpages=1": bundle("2")}
    with fhir_server(pages) as (url, asked):
        pages["/fhir/Patient"] = bundle("1", following=following.format(origin=url.removeprefix("http://")))
        assert [one["id"] for one in search(f"{url}/fhir", "Patient", identifier="|7")] == ["1", "2"]
    assert [one.headers["Cache-Control"] for one in asked] == ["no-cache"] * 2
    assert asked[0].query_params["identifier"] == "|7"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (bundle("1", following="?page=again"), "more than 1000 pages"),
        (bundle("1", total=2), "1 of 2 Patient given, and no link to the rest"),
        ({"resourceType": "OperationOutcome"}, "answered with status 200"),
    ],
)
def test_what_cannot_be_read_to_its_end_is_no_answer(answer, told):
    """Else the check would say that what it does not see is not there."""
    with fhir_server({"/fhir/Patient": answer}) as (url, _), pytest.raises(SearchError, match=told):
        search(f"{url}/fhir", "Patient")


@pytest.mark.parametrize(
    ("meta", "is_ours"),
    [
        ({"source": SERVICE}, True),
        ({"source": f"{SERVICE}#a8f3c2"}, True),  # HAPI, where it stores it
        ({"tag": [{"system": TAG, "code": SERVICE}]}, True),
        ({"source": "#a8f3c2", "tag": [{"system": "x", "code": "y"}, {"system": TAG, "code": SERVICE}]}, True),
        ({"source": f"{SERVICE}/partitions/north"}, False),
        ({"tag": [{"system": TAG, "code": f"{SERVICE}/partitions/north"}]}, False),
        ({"tag": [{"system": "urn:other", "code": SERVICE}]}, False),
        ({}, False),
        (None, False),
    ],
)
def test_what_the_app_made_is_known_by_its_tag_or_its_source(meta, is_ours):
    """Either is enough: HAPI keeps no `meta.source`, and what was made before has no tag."""
    study = {"resourceType": "ImagingStudy", "id": "1"} | ({} if meta is None else {"meta": meta})
    answer = {"resourceType": "Bundle", "entry": [{"resource": study}]}
    with fhir_server({"/fhir/ImagingStudy": answer}) as (url, _):
        made = FhirAccount(f"{url}/fhir").made_for(Partition("Microsoft.Default", SERVICE), "ImagingStudy")
    assert [one["id"] for one in made] == ["1"] * is_ours


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("Patient/7", "Patient/7"),
        ("Patient/7/_history/2", "Patient/7"),
        ("https://fhir.example.org/base/Patient/7", "Patient/7"),
        ("https://fhir.example.org/base/Patient/7/_history/2", "Patient/7"),
        ("/fhir/Patient/7", "Patient/7"),
        ("#contained", ""),
        (None, ""),
    ],
)
def test_a_reference_is_its_type_and_id(reference, said):
    """Relative or absolute, with a version or without."""
    assert relative({} if reference is None else {"reference": reference}) == said


def test_the_subject_may_be_absolute():
    """It is read from the server that is asked."""
    patient = {"resourceType": "Patient", "id": "7", "identifier": [{"value": "P-1"}]}
    with fhir_server({"/fhir/Patient/7": patient}) as (url, _):
        account = FhirAccount(f"{url}/fhir")
        assert account.subject({"subject": {"reference": "https://other.name/Patient/7/_history/1"}}) == patient
        assert account.subject({"subject": {"display": "nobody"}}) is None
