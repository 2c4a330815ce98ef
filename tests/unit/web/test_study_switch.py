"""`DicomCast__Features__StudyPage` turns off the page of one study and its API."""

import json
from http import HTTPStatus

import azure.functions as func
import pytest

from shared import bootstrap
from shared.settings.config import read_settings
from tests.triggers import functions

ENOUGH = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DicomWeb__Endpoint": "https://dicom.example.org",
    "Fhir__Endpoint": "https://fhir.example.org",
}
FUNCTIONS = {one.get_function_name(): one.get_user_function() for one in functions()}


@pytest.fixture
def app(monkeypatch):
    """The app of other settings than this process's."""

    def made(**settings):
        built = bootstrap.build(read_settings(ENOUGH | settings))
        monkeypatch.setattr(bootstrap, "app", lambda: built)

    return made


def ask(name, **route):
    return FUNCTIONS[name](func.HttpRequest(method="GET", url="https://app/api/x", route_params=route, body=b""))


def test_off(app):
    """Neither is there, and the API says which setting it is."""
    app(DicomCast__Features__StudyPage="false")
    assert ask("dashboard", file="study").status_code == HTTPStatus.NOT_FOUND
    answer = ask("study", uid="1.2.3")
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "DicomCast__Features__StudyPage" in json.loads(answer.get_body())["detail"]
    assert ask("dashboard", file="study.js").status_code == HTTPStatus.OK


def test_on_by_default(app):
    """The page is served."""
    app()
    assert ask("dashboard", file="study").status_code == HTTPStatus.OK


def test_settings_that_are_at_fault(app, monkeypatch):
    """Nobody knows whether it is turned on: it is not."""

    def fails():
        read_settings({})

    monkeypatch.setattr(bootstrap, "app", fails)
    assert ask("dashboard", file="study").status_code == HTTPStatus.NOT_FOUND
