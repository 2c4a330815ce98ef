"""What a tick costs in log lines, where the root logger is at INFO, as the language worker sets it."""

import logging

import pytest

from shared import bootstrap
from shared.process.log_lines import CHATTY

MOST_BYTES = 300
"""Of an idle tick; docs/deploy.md reckons with it."""

SERVICES = ("uvicorn", "local.")
"""The DICOM service runs in this process too."""


@pytest.fixture
def app(dicom, storage, fhir_url, monkeypatch):
    """The app of this process on the real parts; before it, nobody has quieted any logger."""
    given = {"AzureWebJobsStorage": storage, "DicomWeb__Endpoint": dicom.url, "Fhir__Endpoint": fhir_url}
    for name, value in {**given, "TableStore__TableNamePrefix": "log"}.items():
        monkeypatch.setenv(name, value)
    for name in CHATTY:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    bootstrap.app.cache_clear()
    yield bootstrap.app()
    bootstrap.app.cache_clear()


def test_an_idle_tick_logs_its_own_line_once_a_minute_and_nothing_else(app, caplog):
    """No request of a library's: what nobody reads is paid for by the gigabyte."""
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert app.tick().outcome == "idle"
    told = [record.getMessage() for record in caplog.records if not record.name.startswith(SERVICES)]
    state, line = sorted(told)
    assert state.startswith("state caught up")
    assert line.startswith("tick idle")
    assert len(line.encode()) < MOST_BYTES
