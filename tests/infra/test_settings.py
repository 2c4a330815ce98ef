"""The app's settings and the template's: each of the README's table has an answer, and nothing else is set."""

import re
from pathlib import Path

from docs.readme_tables import settings_table
from shared.clients import journal_table, lease, replay_table, watermark
from shared.config import SETTINGS
from shared.failures import ErrorTable
from tests.infra.bicep import syntax

INFRA = Path(__file__).parents[2] / "infra"
APP, TYPE, STORAGE = (INFRA / "app" / f"{name}.bicep" for name in ("function-app", "settings", "storage"))
HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureFunctionsJobHost__telemetryMode",
    "AzureWebJobsStorage__credential",
    "SyncSchedule",
}
"""What the Functions host reads, and the app does not."""
NEVER = {"AzureWebJobsStorage"}
"""A connection string is a secret: the identity stands in its place."""


def test_each_setting_has_an_answer():
    """Set by the template, or a member of the parameter `settings`; and the template sets nothing that is not read."""
    assert unanswered(settings_table()) == set()
    assert _set() | _optional() == wanted(settings_table()) | HOST


def test_a_new_setting_without_an_answer_is_named():
    """A row of the README that infra/ does not know yet."""
    assert "DicomCast__New" in unanswered(settings_table() + "| `DicomCast__New` | `1` | new |\n")


def test_what_is_required_is_set():
    """A setting without a default is not left to the reader's memory."""
    assert {row.name for row in SETTINGS if row.default is None} <= _set()


def test_both_services_are_asked_with_the_apps_identity():
    """A token is sent, and it is the user-assigned identity's."""
    given = syntax.properties(_settings())
    for service in ("DicomWeb", "Fhir"):
        assert syntax.literal(given[f"{service}__Authentication__Enabled"]) == "true"
    clients = [name for name in given if name.lower().endswith("clientid")]
    assert {syntax.text_of(given[name]) for name in clients} == {"identityClientId"}
    assert len(clients) == 3


def test_the_tables_and_the_container_are_the_apps():
    """Those that are made are those that the app uses."""
    declared = syntax.read(STORAGE).named("var")
    tables = {syntax.literal(item) for item in declared["tables"].value.named_children}
    assert tables == {watermark.TABLE, journal_table.TABLE, replay_table.TABLE, *ErrorTable}
    assert syntax.literal(declared["leaseContainer"].value) == lease.CONTAINER


def test_the_instance_that_is_always_ready_is_the_timers():
    """`function:` and the name of the timer's function."""
    (timer,) = re.findall(r"@app\.timer_trigger\(.*\)\ndef (\w+)", (INFRA.parent / "function_app.py").read_text())
    assert f"'function:{timer}'" in APP.read_text()


def wanted(table):
    """The names in the README's table, each written out for both services."""
    names = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    return {name.replace("{DicomWeb,Fhir}", service) for name in names for service in ("DicomWeb", "Fhir")} - NEVER


def unanswered(table):
    """Settings that the template neither sets nor takes."""
    return wanted(table) - _set() - _optional()


def _settings():
    """The object that the template begins from; the parameter `settings` goes over it."""
    resource = syntax.body(syntax.read(APP).named("resource")["appSettings"].value)
    union = syntax.properties(resource)["properties"]
    return union.named_children[-1].named_children[0]


def _set():
    return set(syntax.properties(_settings()))


def _optional():
    return set(syntax.properties(syntax.read(TYPE).named("type")["appSettings"].value))
