"""The app's settings and the template's: each of docs/configuration.md has an answer, and nothing else is set."""

import re

from docs.readme_tables import settings_table
from shared.clients.azure import lease
from shared.settings.config import SETTINGS
from tests.infra.settings import VALUES, faults, of_app
from tests.infra.snapshots import INFRA, SAMPLES, stored_snapshot
from tests.unit.test_names import tables as tables_of_app

APP = INFRA / "app" / "function-app.bicep"


def test_each_setting_has_an_answer(template):
    """Set by the template, or a member of the parameter `settings`; and the template sets nothing that is not read."""
    assert faults(template) == []


def test_a_new_setting_without_an_answer_is_named(template):
    """A row of the app's settings that infra/ does not know yet, and one that the app has no more."""
    assert faults(template, of_app() | {"DicomCast__New"}) == ["setting DicomCast__New is neither set nor taken"]
    assert faults(template, of_app() - {"DicomCast__BatchSize"}) == ["setting DicomCast__BatchSize is read by nobody"]


def test_the_readme_has_the_same_settings():
    """Its table's names, each written out for both services."""
    names = {line.split("`")[1] for line in settings_table().splitlines() if line.startswith("| `")}
    services = ("DicomWeb", "Fhir")
    assert {name.replace("{DicomWeb,Fhir}", service) for name in names for service in services} == of_app()


def test_what_is_required_is_set():
    """A setting without a default is not left to the reader's memory."""
    assert {row.name for row in SETTINGS if row.default is None} <= VALUES.keys()


def test_both_services_are_asked_with_the_apps_identity():
    """A token is sent, and it is the user-assigned identity's."""
    assert {VALUES[f"{service}__Authentication__Enabled"] for service in ("DicomWeb", "Fhir")} == {"true"}
    clients = [value for name, value in VALUES.items() if name.lower().endswith("clientid")]
    assert clients == ["[parameters('identityClientId')]"] * 3


def test_the_tables_and_the_containers_are_the_apps():
    """Those that are made are those that the app uses; the other container is the package's."""
    made = stored_snapshot(SAMPLES[0])["predictedResources"]
    tables = {one["name"].rpartition("/")[2] for one in made if one["type"].endswith("/tables")}
    assert tables == set(tables_of_app()) - {lease.CONTAINER}
    containers = {one["name"].rpartition("/")[2] for one in made if one["type"].endswith("/containers")}
    assert containers == {lease.CONTAINER, "app-package"}


def test_the_instance_that_is_always_ready_is_the_timers():
    """`function:` and the name of the timer's function."""
    (timer,) = re.findall(r"@app\.timer_trigger\(.*\)\ndef (\w+)", (INFRA.parent / "function_app.py").read_text())
    assert f"'function:{timer}'" in APP.read_text()
