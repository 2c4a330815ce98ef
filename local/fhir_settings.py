"""A FHIR server of the user's choice, called with the app's own settings for connection and authentication."""

from pathlib import Path

from local.functions_host.settings import read_app_settings
from shared.clients.connections import fhir_access, fhir_server
from shared.clients.http import HttpService
from shared.process.deadline import Deadline
from shared.settings.config import Settings, read_settings
from shared.settings.timeouts import TICK

_PREFIXES = ("fhir__", "dicomcast__allowplainhttp", "dicomcast__maxconcurrency")
"""Which settings of the user's file are used: how their names begin, in lower case."""
_NO_STORAGE = "UseDevelopmentStorage=true"  # the app's settings need one; it is never called


def fhir_settings_in(file: Path | None) -> dict[str, str]:
    """The settings in the file that say how the FHIR server is called, without its URL. Raises HostError."""
    given = read_app_settings(file) if file else {}
    taken = {name: value for name, value in given.items() if name.lower().startswith(_PREFIXES)}
    return {name: value for name, value in taken.items() if name.lower() != "fhir__endpoint"}


def settings_for_fhir(file: Path | None, fhir_url: str, dicom_url: str) -> Settings:
    """The app's settings if only the FHIR server is called. Raises HostError, SettingsError."""
    urls = {"Fhir__Endpoint": fhir_url, "DicomWeb__Endpoint": dicom_url, "AzureWebJobsStorage": _NO_STORAGE}
    return read_settings(fhir_settings_in(file) | urls)


def fhir_service(settings: Settings) -> HttpService:
    """A client of the FHIR server that the settings name."""
    return fhir_server(settings, fhir_access(settings), TICK, Deadline())
