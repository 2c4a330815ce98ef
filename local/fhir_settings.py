"""A FHIR server of the user's choice, reached and authenticated by the app's own settings for it."""

from pathlib import Path

from local.functions_host.settings import read_app_settings
from shared.clients.connections import fhir_access, fhir_server
from shared.clients.http import HttpService
from shared.process.deadline import Deadline
from shared.settings.config import Settings, read_settings
from shared.settings.timeouts import TICK

_TAKEN = ("fhir__", "dicomcast__allowplainhttp", "dicomcast__maxconcurrency")
"""Settings of the user's file that are taken over, by the beginning of their names in lower case."""
_NO_STORAGE = "UseDevelopmentStorage=true"  # not called: only the FHIR server is


def settings_of(file: Path | None) -> dict[str, str]:
    """How the FHIR server is reached, by the user's file, but for its URL: that is named. Raises HostError."""
    given = read_app_settings(file) if file else {}
    taken = {name: value for name, value in given.items() if name.lower().startswith(_TAKEN)}
    return {name: value for name, value in taken.items() if name.lower() != "fhir__endpoint"}


def read_with(file: Path | None, fhir_url: str, dicom_url: str) -> Settings:
    """The app's settings for who calls no other system than the FHIR server. Raises HostError, SettingsError."""
    urls = {"Fhir__Endpoint": fhir_url, "DicomWeb__Endpoint": dicom_url, "AzureWebJobsStorage": _NO_STORAGE}
    return read_settings(settings_of(file) | urls)


def reached(settings: Settings) -> HttpService:
    """The FHIR server of the settings."""
    return fhir_server(settings, fhir_access(settings), TICK, Deadline())
