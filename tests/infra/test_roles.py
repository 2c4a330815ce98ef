"""The app's identity has the roles that it needs, and no other."""

from pathlib import Path

import pytest

from tests.infra.bicep import syntax

INFRA = Path(__file__).parents[2] / "infra"
ROLES = INFRA / "app" / "roles.bicep"
WANTED = {
    "storageBlobDataOwner": ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "storageAccount"),
    "storageTableDataContributor": ("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "storageAccount"),
    "monitoringMetricsPublisher": ("3913510d-42f4-4e42-8a64-420c390055eb", "applicationInsights"),
    "dicomDataReader": ("e89c7a3c-2f64-4fa1-a847-3e4c9ba4283a", "dicomService"),
    "fhirDataContributor": ("5a1fc7df-4bf1-4951-a576-89034ee01acd", "fhirService"),
}
"""Role, its id among Azure's built-in roles, and the resource that it is given on."""


def test_the_identity_has_its_roles_and_no_more():
    """Each at the one resource: none on a resource group or subscription."""
    assert assigned(ROLES.read_text()) == WANTED


@pytest.mark.parametrize("role", WANTED)
def test_a_missing_role_is_found(role):
    """Take out any assignment, and the roles are not what they should be."""
    text = ROLES.read_text()
    one = next(
        one for one in _assignments(text) if syntax.text_of(_properties(one)["roleDefinitionId"]).endswith(f"{role})")
    )
    assert assigned(text.replace(syntax.text_of(one.node), "")) != WANTED


def test_a_name_is_of_what_makes_the_assignment_one():
    """Scope, principal and role: a second deployment finds the first one's assignment."""
    for one in _assignments(ROLES.read_text()):
        given = syntax.properties(syntax.body(one.value))
        _, arguments = given["name"].named_children
        scope, principal, role = (syntax.text_of(child) for child in arguments.named_children)
        assert scope == f"{syntax.text_of(given['scope'])}.id"
        assert principal == "principalId"
        assert syntax.text_of(_properties(one)["roleDefinitionId"]).endswith(f", {role})")


def test_roles_are_assigned_nowhere_else():
    """One file says what the app may do."""
    others = [path for path in INFRA.rglob("*.bicep") if path != ROLES]
    assert not [path for path in others if "roleAssignments" in path.read_text()]


def assigned(text):
    """Role name -> its id and the symbol of its scope."""
    ids = {name: syntax.literal(one.value) for name, one in syntax.read(ROLES, text).named("var").items()}
    found = {}
    for one in _assignments(text):
        given, inner = syntax.properties(syntax.body(one.value)), _properties(one)
        assert syntax.text_of(inner["principalId"]) == "principalId"
        role = syntax.text_of(inner["roleDefinitionId"].named_children[-1].named_children[-1])
        found[role] = (ids[role], syntax.text_of(given["scope"]))
    return found


def _assignments(text):
    declared = syntax.read(ROLES, text).named("resource").values()
    return [one for one in declared if one.target.startswith("Microsoft.Authorization/roleAssignments")]


def _properties(one):
    return syntax.properties(syntax.properties(syntax.body(one.value))["properties"])
