"""A cold host pays at its start for nothing that a tick without work has no use for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DicomWeb__Endpoint": "http://127.0.0.1:1",
    "Fhir__Endpoint": "http://127.0.0.1:2",
}

LATER = [
    ("pydicom",                                "shared/mapping/data_dictionary.py holds what is asked of it"),
    ("fhir.resources",                         "it is asked once something is mapped"),
    ("pydantic",                               "no row holds a replay or a round of the audit"),
    ("azure.identity",                         "storage has a connection string, and no service asks for a token"),
    ("msal",                                   "azure.identity brings it"),
    ("prometheus_client",                      "a scraper asks for it"),
    ("opentelemetry",                          "telemetry is off"),
    ("shared.mapping.resources",               "the feed has an entry"),
    ("shared.sync.map.mapped_entries",         "the feed has an entry"),
    ("shared.sync.merge.merging",              "the feed has an entry"),
    ("shared.sync.queue.studies",              "the feed has an entry"),
    ("shared.sync.transact.transact",          "the feed has an entry"),
    ("shared.sync.replay.replay_slice",        "an operator asks for a replay"),
    ("shared.sync.replay.linked_studies",         "an order comes after its study"),
    ("shared.sync.audit.round",                "a round of the audit is due"),
    ("shared.clients.self_check",              "an operator asks for it"),
    ("shared.sync.status.status",              "a person looks at the status"),
    ("shared.sync.status.check",               "an operator asks for it"),
    ("shared.web.replay_request",              "an operator asks for a replay"),
    ("shared.sync.status.study_page",          "a person looks at a study"),
    ("shared.sync.status.study_view",          "a person looks at a study"),
]  # fmt: skip


@pytest.fixture(scope="module")
def loaded():
    """The modules of a process that has imported the app, as the Functions host does."""
    program = "import sys, function_app; print(*sys.modules)"
    environment = {name: value for name, value in os.environ.items() if "__" not in name} | SETTINGS
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return set(ended.stdout.split())


@pytest.mark.parametrize(("name", "why"), LATER, ids=[row[0] for row in LATER])
def test_it_is_not_loaded_at_the_start(loaded, name, why):
    """It is loaded when needed (docs/adr/0034-loaded-when-needed.md)."""
    assert {"shared.bootstrap", "azure.storage.blob"} <= loaded
    assert name not in loaded, why
