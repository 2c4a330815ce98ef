"""The API is what openapi.yaml says of it: the same routes, and answers of the same shape, whatever is asked."""

from pathlib import Path

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.triggers import functions

DESCRIPTION = Path(__file__).parents[3] / "shared/web/openapi.yaml"
schema = schemathesis.openapi.from_path(DESCRIPTION)
EXAMPLES = 25
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


def described():
    """Path and method -> whether the key is wanted."""
    paths = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))["paths"]
    return {
        (path, method): operation.get("security") != []
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
    }


def served():
    """The same of the HTTP triggers."""
    triggers = [one.get_trigger().get_dict_repr() for one in functions()]
    return {
        (f"/{trigger['route'].replace('?', '')}", method.value.lower()): trigger["authLevel"].value != "anonymous"
        for trigger in triggers
        if trigger["type"] == "httpTrigger"
        for method in trigger["methods"]
    }


def test_every_route_is_described():
    """And every described one is served, with the same key."""
    assert served() == described()


def test_the_app_serves_its_description(api):
    """To the byte, to anybody."""
    answer = requests.get(f"{api.stack.functions_url}/api/openapi.yaml", timeout=30)
    assert (answer.text, answer.headers["Content-Type"]) == (
        DESCRIPTION.read_text(encoding="utf-8"),
        "application/yaml; charset=utf-8",
    )


@pytest.fixture(scope="module")
def busy(api):
    """With studies, failures, and a replay."""
    api.store(50, 51)
    api.store(52, PatientID=None)
    api.drained()
    api.replayed({"errors": "all"})
    return api


@pytest.mark.parametrize("checks", [CHECKS], ids=["conforms"])  # with no parameter pytest 9.2 has one id for all routes
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(case, busy, checks):
    """Requests that fit the description and requests that do not."""
    case.call_and_validate(
        base_url=f"{busy.stack.functions_url}/api",
        headers={"x-functions-key": busy.stack.function_key},
        checks=checks,
        timeout=60,
    )
