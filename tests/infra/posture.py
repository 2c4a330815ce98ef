"""What must be true of every deployment, whoever rewrites the snapshots: one row, one property, and why.

A resource type without a row is a fault: somebody is to say first what must be true of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STORAGE, HEALTH, WEB = "Microsoft.Storage/storageAccounts", "Microsoft.HealthcareApis/workspaces", "Microsoft.Web/sites"
INSIGHTS, LOGS, PLAN = (
    "Microsoft.Insights/components",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Web/serverfarms",
)
BASIC_AUTH = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
NETWORK, ENDPOINT = "Microsoft.Network/virtualNetworks", "Microsoft.Network/privateEndpoints"
ZONE, LINK = "Microsoft.Network/privateDnsZones", "Microsoft.Network/privateDnsZones/virtualNetworkLinks"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
ALERT = "Microsoft.Insights/scheduledQueryRules"


@dataclass(frozen=True, slots=True)
class Row:
    """`wanted` is the value at `path` of each resource of `kind`, or what it must fulfil."""

    kind: str
    path: str
    wanted: Any | Callable[[Any], bool]
    why: str

    def fault(self, resource):
        """What is wrong with one resource, or None."""
        found = at(resource, self.path)
        is_right = (
            self.wanted(found) if callable(self.wanted) else (found == self.wanted and _same_kind(found, self.wanted))
        )
        return None if is_right else f"{resource['type']} {self.path} is {found!r}: {self.why}"


def at(resource, path):
    """The value at a dotted path; None where there is none."""
    for name in path.split("."):
        resource = resource.get(name) if isinstance(resource, dict) else None
    return resource


def _same_kind(found, wanted):
    return isinstance(found, bool) == isinstance(wanted, bool)


def absent(found):
    return found is None


def of(kind, name=""):
    """An id of a resource of this kind (whose name is, or begins so)."""
    return lambda found: isinstance(found, str) and f"/providers/{kind}/{name}" in found


def _deny_the_rest(found):
    default = found.get("ipSecurityRestrictionsDefaultAction")
    return default == ("Deny" if found.get("ipSecurityRestrictions") else "Allow")


def _is_the_identity_alone(found):
    return list(map(of(IDENTITY), found or {})) == [True]


# fmt: off

ALWAYS = (
    Row(STORAGE, "properties.allowSharedKeyAccess",         False,       "identities only: an account key opens everything"),
    Row(STORAGE, "properties.allowBlobPublicAccess",        False,       "no blob is for everybody"),
    Row(STORAGE, "properties.allowCrossTenantReplication",  False,       "no copy leaves the tenant"),
    Row(STORAGE, "properties.defaultToOAuthAuthentication", True,        "the portal asks with the reader's identity too"),
    Row(STORAGE, "properties.supportsHttpsTrafficOnly",     True,        "tokens and patient data in the clear"),
    Row(STORAGE, "properties.minimumTlsVersion",            "TLS1_2",    "the oldest TLS that may be used"),
    Row(STORAGE, "kind",                                    "StorageV2", "blobs and tables in one account"),
    Row(f"{STORAGE}/blobServices/containers", "properties.publicAccess", "None", "no blob is for everybody"),
    Row(f"{STORAGE}/blobServices",            "name", lambda name: name.endswith("/default"), "the service has one name"),
    Row(f"{STORAGE}/tableServices",           "name", lambda name: name.endswith("/default"), "the service has one name"),
    Row(f"{STORAGE}/tableServices/tables",    "properties", absent, "a table has a name and nothing else"),

    Row(LOGS,     "properties.features.disableLocalAuth", True,        "logs are read and written with identities"),
    Row(LOGS,     "properties.sku.name",                  "PerGB2018", "the price in docs/deploy.md"),
    Row(INSIGHTS, "properties.DisableLocalAuth",          True,        "the connection string must open nothing"),
    Row(INSIGHTS, "properties.WorkspaceResourceId",       of(LOGS),    "its data is in the workspace of this deployment"),

    Row(PLAN, "sku", {"name": "FC1", "tier": "FlexConsumption"}, "Flex Consumption"),
    Row(PLAN, "properties.reserved", True,                       "Linux: Python runs on no other"),
    Row(WEB, "kind",                    "functionapp,linux",     "a function app on Linux"),
    Row(WEB, "tags.azd-service-name",   "app",                   "by it azd finds where to deploy the service of azure.yaml"),
    Row(WEB, "location",                "westeurope",            "where the deployment is"),
    Row(WEB, "properties.serverFarmId", of(PLAN),                "on the plan of this deployment"),
    Row(WEB, "properties.httpsOnly",    True,                    "the function key in the clear"),
    Row(WEB, "properties.siteConfig.minTlsVersion",    "1.2",      "the oldest TLS that may be used"),
    Row(WEB, "properties.siteConfig.scmMinTlsVersion", "1.2",      "likewise, where packages are published"),
    Row(WEB, "properties.siteConfig",                  _deny_the_rest, "addresses that are allowed shut the others out"),
    Row(WEB, "properties.siteConfig.scmIpSecurityRestrictionsUseMain", True, "who may not see the page may not publish either"),
    Row(WEB, "properties.siteConfig.ftpsState",        "Disabled", "no FTP"),
    Row(WEB, "properties.siteConfig.linuxFxVersion",   absent,     "Flex Consumption refuses it: functionAppConfig.runtime says it"),
    Row(WEB, "properties.siteConfig.appSettings",      absent,     "config/appsettings has them; two that set them take turns"),
    Row(WEB, "identity.type",                   "UserAssigned",         "its roles are given to that identity"),
    Row(WEB, "identity.userAssignedIdentities", _is_the_identity_alone, "one identity, that of this deployment"),
    Row(WEB, "properties.keyVaultReferenceIdentity", of(IDENTITY),      "secrets are read with the same identity"),
    Row(WEB, "properties.functionAppConfig.runtime.name",    "python",  "the app's language"),
    Row(WEB, "properties.functionAppConfig.runtime.version", "3.13",    "the default of pythonVersion"),
    Row(WEB, "properties.functionAppConfig.scaleAndConcurrency.maximumInstanceCount", lambda count: 1 <= (count or 0) <= 1000, "Flex Consumption takes 1 to 1,000"),
    Row(WEB, "properties.functionAppConfig.scaleAndConcurrency.instanceMemoryMB",     2048,                               "the default, and one of 512, 2048, 4096"),
    Row(WEB, "properties.functionAppConfig.deployment.storage.type",                  "blobContainer",                    "the one kind that there is"),
    Row(WEB, "properties.functionAppConfig.deployment.storage.value",                 lambda value: "primaryEndpoints.blob, 'app-package'" in (value or ""), "the container of this deployment"),
    Row(WEB, "properties.functionAppConfig.deployment.storage.authentication.type",   "UserAssignedIdentity",             "the package is read with the identity"),
    Row(WEB, "properties.functionAppConfig.deployment.storage.authentication.userAssignedIdentityResourceId", of(IDENTITY), "the package is read with the identity"),
    Row(BASIC_AUTH, "properties.allow", False, "no publishing password"),
    Row(f"{WEB}/config", "name", lambda name: name.endswith("/appsettings"), "the app's settings"),

    Row(HEALTH,                    "location", "westeurope", "where the deployment is"),
    Row(f"{HEALTH}/dicomservices", "location", "westeurope", "where the deployment is"),
    Row(f"{HEALTH}/fhirservices",  "kind",     "fhir-R4",    "the app writes R4"),
    Row(f"{HEALTH}/fhirservices",  "properties.authenticationConfiguration.audience", lambda url: re.fullmatch(r"https://\w+-fhir\.fhir\.azurehealthcareapis\.com", url or ""), "the audience of the app's tokens"),

    Row("Microsoft.Authorization/roleAssignments", "properties.principalType", "ServicePrincipal", "a new identity is not known everywhere at once: without it the assignment fails"),
    Row(IDENTITY, "location", "westeurope", "where the deployment is"),
    Row("Microsoft.Insights/actionGroups", "properties.enabled", True, "somebody is told"),
    Row("Microsoft.Insights/workbooks", "properties.sourceId", of(INSIGHTS), "it is found at Application Insights"),
    Row("Microsoft.Insights/workbooks", "kind", "shared", "the one kind that there is"),

    Row(ALERT, "kind",                      "LogAlert", "a query of logs"),
    Row(ALERT, "properties.enabled",        True,       "an alert that is off tells nobody"),
    Row(ALERT, "properties.autoMitigate",   True,       "it closes by itself"),
    Row(ALERT, "properties.scopes",         lambda scopes: list(map(of(INSIGHTS), scopes or [])) == [True], "the queries are of Application Insights' tables"),
    Row(ALERT, "properties.skipQueryValidation", True,  "a new workspace does not know the tables yet: the rule would be refused"),
    Row(ALERT, "properties.evaluationFrequency", lambda frequency: frequency in FREQUENCIES, "the service takes no other frequency"),
    Row(ALERT, "properties.windowSize",     lambda window: window in WINDOWS, "the service takes no other window"),
)
"""Of all deployments."""
OPEN = (
    Row(STORAGE, "properties.publicNetworkAccess", "Enabled", "without a network of its own the app reaches it publicly"),
    Row(STORAGE, "properties.networkAcls.defaultAction", "Allow", "without a network of its own the app reaches it publicly"),
    Row(WEB, "properties.virtualNetworkSubnetId", absent, "there is no network"),
    Row(WEB, "properties.publicNetworkAccess", "Enabled", "without a network of its own it is reached publicly, by the key and from the addresses that are allowed"),
)
"""Of those without `enablePrivateNetworking`."""
CLOSED = (
    Row(STORAGE, "properties.publicNetworkAccess",            "Disabled", "private networking closes the account"),
    Row(STORAGE, "properties.networkAcls.defaultAction",      "Deny",     "private networking closes the account"),
    Row(STORAGE, "properties.networkAcls.bypass",             "None",     "no service of Azure's goes around it"),
    Row(HEALTH,                    "properties.publicNetworkAccess", "Disabled", "private networking closes the workspace"),
    Row(f"{HEALTH}/dicomservices", "properties.publicNetworkAccess", "Disabled", "private networking closes the service"),
    Row(f"{HEALTH}/fhirservices",  "properties.publicNetworkAccess", "Disabled", "private networking closes the service"),
    Row(WEB, "properties.publicNetworkAccess",    "Disabled", "closePublicAccess closes the page"),
    Row(WEB, "properties.virtualNetworkSubnetId", of(NETWORK, "dicom-cast-network/subnets/app"), "the app is in the delegated subnet"),
    Row(ENDPOINT, "properties.subnet.id",         of(NETWORK, "dicom-cast-network/subnets/endpoints"), "endpoints are in theirs"),
    Row(LINK, "properties.virtualNetwork.id",     of(NETWORK),  "the app's network asks the zone"),
    Row(LINK, "properties.registrationEnabled",   False,        "only endpoints stand in the zone"),
    Row(ZONE, "location",                         "global",     "zones have no region"),
    Row(f"{ENDPOINT}/privateDnsZoneGroups", "name", lambda name: name.endswith("/default"), "an endpoint has one group of zones"),
)
"""Of those with it; virtualNetworks are held by `subnets`, endpoints by `endpoints` too."""
FREQUENCIES = {"PT5M", "PT10M", "PT15M", "PT30M", "PT1H", "PT2H", "PT3H", "PT4H", "PT5H", "PT6H", "P1D"}
"""Log search alerts' own, and PT1M, which costs more and takes not every query (Microsoft, "Create a log search alert rule")."""
WINDOWS = FREQUENCIES | {"PT45M", "P2D"}
ALERTS = {
    "no-successful-tick": ("Count", "LessThan", 1, None, [], "PT10M", 1),
    "not-syncing": ("Count", "GreaterThan", 0, None, [], "PT5M", 1),
    "lag": ("Minimum", "GreaterThan", 900, "BehindSeconds", [], "PT15M", 2),
    "failed-entries": ("Count", "GreaterThan", 0, None, ["Table"], "PT15M", 3),
    "refused": ("Count", "GreaterThan", 0, None, ["System"], "PT15M", 1),
    "function-failures": ("Count", "GreaterThan", 0, None, ["Function"], "PT15M", 2),
    "audit": ("Count", "GreaterThan", 0, None, ["State"], "PT15M", 3),
}
"""Each alert's aggregation, operator, threshold, measure, dimensions, window and severity."""
ENDPOINTS = {
    "blob": (STORAGE, ["privatelink.blob.{0}"]),
    "sites": (WEB, ["privatelink.azurewebsites.net"]),
    "table": (STORAGE, ["privatelink.table.{0}"]),
    "healthcareworkspace": (HEALTH, [
        "privatelink.workspace.azurehealthcareapis.com",
        "privatelink.dicom.azurehealthcareapis.com",
        "privatelink.fhir.azurehealthcareapis.com",
    ]),
}
"""groupId of a private endpoint -> what it leads to, and the DNS zones ({0}: the cloud's storage suffix)."""
ROLES = {
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", STORAGE): "Storage Blob Data Owner",
    ("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", STORAGE): "Storage Table Data Contributor",
    ("3913510d-42f4-4e42-8a64-420c390055eb", INSIGHTS): "Monitoring Metrics Publisher",
    ("e89c7a3c-2f64-4fa1-a847-3e4c9ba4283a", f"{HEALTH}/dicomservices"): "DICOM Data Reader",
    ("3f88fce4-5892-4214-ae73-ba5294559913", f"{HEALTH}/fhirservices"): "FHIR Data Writer",
}
"""The id of each role among Azure's built-in ones, the kind of resource that it is given on, and its name."""
# fmt: on
