"""The whole check of a folder like infra/: what the compiler says, then what must be true of what it compiles.

It stops at the first stage that finds a fault. The snapshots that are stored play no part in it: a fault must not become
right by their being rewritten.
"""

import json
import re

from tests.infra import posture, settings
from tests.infra.compiler import CompilerError
from tests.infra.posture import at

FIRST = "everything"
"""The sample that is compiled with the template; most faults show there."""
EDGES = {
    "roles": {"identity", "storage", "monitoring"},
    "healthRoles": {"identity", "health"},
    "network": {"storage", "health"},
    "functionApp": {"identity", "storage", "monitoring", "network", "roles", "healthRoles"},
    "inbound": {"functionApp", "network"},
    "alerts": {"monitoring"},
    "workbook": {"monitoring"},
}
"""What a module waits for: the app reads its package with its roles, and DICOM and FHIR from its first tick."""


def faults(infra, compiler):
    """Every fault of the first stage that finds any, as a line of text each."""
    samples = sorted(infra.rglob("*.bicepparam"), key=lambda path: path.stem != FIRST)
    try:
        first = compiler.compile_parameters(samples[0])
    except CompilerError as error:  # a version that is no date, for one
        return [str(error)]
    if told := lint(first.diagnostics) or [*edges(first.template), *settings.faults(first.template)]:
        return told
    for sample in samples:
        try:
            snapshot = compiler.snapshot(sample)
        except CompilerError as error:
            return lint(compiler.compile(sample).diagnostics) or [f"{sample.name}: {error}"]
        if told := of_snapshot(snapshot):
            return [f"{sample.stem}: {one}" for one in told]
    return []


def lint(diagnostics):
    """Errors, and warnings as errors. Info is for the reader of `bicep lint`."""
    return [str(one) for one in diagnostics if one.level != "Info"]


def edges(template):
    """Dependencies of the compiled modules that are missing."""
    compiled = {name: set(one.get("dependsOn", [])) for name, one in template["resources"].items()}
    return [
        f"module {name} does not wait for {', '.join(sorted(missing))}"
        for name, wanted in EDGES.items()
        if (missing := wanted - compiled.get(name, set()))
    ]


def of_snapshot(snapshot):
    """One deployment's resources against the table of posture."""
    resources = snapshot["predictedResources"]
    is_private = any(one["type"] == posture.NETWORK for one in resources)
    told = [f"the compiler says {one}" for one in snapshot["diagnostics"]]
    told += _rows(resources, (*posture.ALWAYS, *(posture.CLOSED if is_private else posture.OPEN)))
    told += [*_basic_auth(resources), *_roles(resources), *_alerts(resources)]
    if is_private:
        told += [*_subnets(resources), *_endpoints(resources)]
    return told + _secrets(snapshot)


def _rows(resources, rows):
    known = {row.kind for row in rows} | {posture.NETWORK}
    told = [f"{kind} has no row in the table of posture" for kind in sorted({one["type"] for one in resources} - known)]
    return told + [
        fault for one in resources for row in rows if row.kind == one["type"] and (fault := row.fault(one)) is not None
    ]


def _basic_auth(resources):
    found = {one["name"].rpartition("/")[2] for one in resources if one["type"] == posture.BASIC_AUTH}
    return [f"basic auth of {name} is not switched off" for name in ("ftp", "scm") if name not in found]


def _roles(resources):
    """Exact roles, each at the one resource, each under the name that a second deployment finds again."""
    told, found, ids = [], set(), {one["id"] for one in resources}
    for one in resources:
        if one["type"] != "Microsoft.Authorization/roleAssignments":
            continue
        role = at(one, "properties.roleDefinitionId").rpartition("/")[2]
        principal = at(one, "properties.principalId").strip("[]")
        scope = re.match(r"\[extensionResourceId\('([^']*)'", one["id"])
        kind = kind_of(scope[1]) if scope else "the whole resource group"
        found.add((role, kind))
        if scope and not (scope[1] in ids or "/workspaces/contosohealth/" in scope[1]):
            told.append(f"role {role} is given on {scope[1]}, which is none of the deployment's")
        if not re.fullmatch(
            r"reference\('[^']*/userAssignedIdentities/dicom-cast-identity', '[\d-]+'\)\.principalId", principal
        ):
            told.append(f"role {role} is given to {principal}")
        if one["name"] != f"[guid('{scope[1] if scope else ''}', {principal}, '{role}')]":
            told.append(f"role {role}: its name is not made of scope, principal and role")
    services = {f"{posture.HEALTH}/{kind}" for kind in ("dicomservices", "fhirservices")}
    named = any(kind in services for _, kind in found)
    wanted = {pair for pair in posture.ROLES if named or pair[1] not in services}
    told += [f"role {role} on {kind} is missing: {posture.ROLES[role, kind]}" for role, kind in sorted(wanted - found)]
    return told + [f"role {role} on {kind} is none of the app's" for role, kind in sorted(found - wanted)]


def kind_of(resource_id):
    """`/subscriptions/…/providers/A/b/x/c/y` -> `A/b/c`."""
    provider, *parts = resource_id.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *parts[::2]])


def _alerts(resources):
    found = {}
    for one in resources:
        if one["type"] == posture.ALERT:
            (criterion,) = at(one, "properties.criteria.allOf")
            found[one["name"].removeprefix("dicom-cast-")] = (
                *(criterion.get(name) for name in ("timeAggregation", "operator", "threshold", "metricMeasureColumn")),
                [dimension["name"] for dimension in criterion.get("dimensions", [])],
                at(one, "properties.windowSize"),
                at(one, "properties.severity"),
            )
    return [
        f"alert {name} is {found.get(name)}, not {posture.ALERTS.get(name)}"
        for name in sorted(found.keys() | posture.ALERTS.keys())
        if found.get(name) != posture.ALERTS.get(name)
    ]


def _subnets(resources):
    (network,) = (one for one in resources if one["type"] == posture.NETWORK)
    found = {
        one["name"]: [
            at(delegation, "properties.serviceName") for delegation in at(one, "properties.delegations") or []
        ]
        for one in at(network, "properties.subnets")
    }
    wanted = {"app": ["Microsoft.App/environments"], "endpoints": []}
    return [] if found == wanted else [f"subnets and their delegations are {found}, not {wanted}"]


def _endpoints(resources):
    """What each endpoint leads to, and the zones in which its name is found."""
    told, found = [], set()
    zones = {
        one["name"].removeprefix("[format('").partition("',")[0] for one in resources if one["type"] == posture.ZONE
    }
    for one in resources:
        if one["type"] != posture.ENDPOINT:
            continue
        (connection,) = at(one, "properties.privateLinkServiceConnections")
        (group,) = at(connection, "properties.groupIds")
        found.add(group)
        kind, names = posture.ENDPOINTS.get(group, ("", []))
        if kind_of(at(connection, "properties.privateLinkServiceId")) != kind:
            told.append(f"private endpoint {group} does not lead to {kind or 'anything known'}")
        (attached,) = (
            json.dumps(at(other, "properties.privateDnsZoneConfigs"))
            for other in resources
            if other["type"] == f"{posture.ENDPOINT}/privateDnsZoneGroups" and other["name"] == f"{one['name']}/default"
        )
        told += [f"private endpoint {group} lacks the DNS zone {name}" for name in names if name not in attached]
    told += [f"private endpoint {group} is missing" for group in posture.ENDPOINTS if group not in found]
    wanted = {name for _, names in posture.ENDPOINTS.values() for name in names}
    return told + [f"DNS zone {name} is missing or unknown" for name in sorted(wanted ^ zones)]


def _secrets(snapshot):
    """Identities only: nothing lists keys or reads a vault."""
    secret = re.compile(r"\blist[A-Z]\w*\(|AccountKey=|SharedAccessSignature|InstrumentationKey")
    return [f"{one[0]} lists keys or holds a secret" for one in _texts(snapshot) if secret.search(one[1])]


def _texts(value, path="snapshot"):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value
