"""The app's identity has the roles that it needs, and no other. What is assigned is read from the snapshots."""

import pytest

from tests.infra.checks import kind_of, of_snapshot
from tests.infra.posture import ROLES
from tests.infra.snapshots import INFRA, stored_snapshot

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"


def test_roles_are_assigned_nowhere_else():
    """One file says what the app may do."""
    assert [path.name for path in INFRA.rglob("*.bicep") if "roleAssignments" in path.read_text()] == ["roles.bicep"]


@pytest.mark.parametrize(("role", "kind"), ROLES)
def test_a_missing_role_is_found(role, kind):
    """Take any assignment out of what is deployed, and the posture is broken."""
    snapshot = stored_snapshot(INFRA / "samples" / "everything.bicepparam")
    left = [one for one in snapshot["predictedResources"] if not (one["type"] == ASSIGNMENT and role in one["name"])]
    assert len(left) == len(snapshot["predictedResources"]) - 1
    told = of_snapshot(snapshot | {"predictedResources": left})
    assert told == [f"role {role} on {kind} is missing: {ROLES[role, kind]}"]


@pytest.mark.parametrize(
    ("resource_id", "kind"),
    [
        ("/subscriptions/1/resourceGroups/g/providers/A.B/c/d", "A.B/c"),
        ("/subscriptions/1/resourceGroups/g/providers/A.B/c/d/e/f", "A.B/c/e"),
        ("/subscriptions/1/resourceGroups/g", "/subscriptions/resourceGroups"),
    ],
)
def test_the_kind_of_a_resource_is_read_from_its_id(resource_id, kind):
    """Provider and types, without the names; a resource group is no resource."""
    assert kind_of(resource_id) == kind
