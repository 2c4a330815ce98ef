"""Faults planted in infra/, each found for what it is by the check that infra/ itself must pass: `make check-infra-faults`."""

import shutil

import pytest

from tests.infra.checks import faults
from tests.infra.snapshots import INFRA
from tests.infra.test_queries_run import analysed

# fmt: off
SPELLING = [
    ("app/function-app.bicep", "httpsOnly: true", "httpOnly: true", 'property "httpOnly" is not allowed'),
    ("app/storage.bicep", "allowSharedKeyAccess", "allowSharedKeyAcces", 'property "allowSharedKeyAcces" is not allowed'),
    ("app/monitoring.bicep", "DisableLocalAuth: true", "DisabelLocalAuth: true", 'property "DisabelLocalAuth" is not allowed'),
    ("app/roles.bicep", "principalType: 'ServicePrincipal'", "principalKind: 'ServicePrincipal'", 'property "principalKind" is not allowed'),
    ("app/alerts.bicep", "windowSize: rule.windowSize", "window: rule.windowSize", 'property "window" is not allowed'),
    ("app/alerts.bicep", "severity: rule.severity", "severity: rule.severtiy", 'does not contain property "severtiy"'),
    ("app/storage.bicep", "primaryEndpoints.table", "primaryEndpoints.tables", 'does not contain property "tables"'),
    ("app/settings.bicep", "@export()", "@exprot()", 'name "exprot" does not exist'),
    ("main.bicep", "@minValue(30)", "@minLength(30)", "BCP124"),
    ("main.bicep", "uniqueString(resourceGroup().id, name)", "uniqueSting(resourceGroup().id, name)", 'name "uniqueSting" does not exist'),
    ("main.bicep", "storageAccountId: storage.outputs.id", "storageAccountId: storage.outputs.resourceId", 'does not contain property "resourceId"'),
    ("main.bicep", "principalId: identity.properties", "principalId: identiy.properties", 'name "identiy" does not exist'),
    ("app/network.bicep", "virtualNetwork::appSubnet.id", "virtualNetwork::subnet.id", "BCP159"),
    ("main.bicep", "'app/storage.bicep'", "'app/store.bicep'", "BCP091"),
    ("main.bicep", "module alerts 'app/alerts.bicep' = {", "module alerts 'app/alerts.bicep' = {{", "BCP"),
]
TYPES = [
    ("app/storage.bicep", "'TLS1_2'", "'TLS1_4'", "minimumTlsVersion is 'TLS1_4'"),
    ("app/function-app.bicep", "name: 'python'", "name: 'pyhton'", "runtime.name is 'pyhton'"),
    ("app/function-app.bicep", "name: 'FC1'", "name: 'FC2'", "sku is {'name': 'FC2'"),
    ("app/function-app.bicep", "type: 'UserAssignedIdentity'", "type: 'UserIdentity'", "authentication.type is 'UserIdentity'"),
    ("app/function-app.bicep", "maximumInstanceCount: 40", "maximumInstanceCount: '40'", 'expected a value of type "int'),
    ("app/function-app.bicep", "instanceCount: 1", "instanceCount: '1'", "BCP036"),
    ("app/function-app.bicep", "httpsOnly: true", "httpsOnly: 'true'", 'expected a value of type "bool'),
    ("app/function-app.bicep", "name: 'scm'", "name: 'smc'", "BCP036"),
    ("app/alerts.bicep", "operator: 'LessThan'", "operator: 'Less'", "alert no-successful-tick is ('Count', 'Less'"),
    ("main.bicep", "= 'Standard_LRS'", "= 'Standard_XXX'", "'Standard_XXX'"),
    ("main.bicep", "param lagAlertSeconds int = 900", "param lagAlertSeconds int = '900'", 'type "int"'),
    ("main.bicep", "take(toLower(replace(name, '-', '')), 11)", "take(toLower(replace(name, '-', '')))", "Expected 2 arguments"),
    ("app/network.bicep", "cidrSubnet(addressPrefix, 26, 0)", "cidrSubnet(addressPrefix, '26', 0)", "BCP070"),
    ("main.bicep", "output functionAppName string", "output functionAppName int", 'type "int"'),
    ("app/settings.bicep", "@secure()\n", "", "is not secure: values would stand in the deployment's history"),
    ("app/settings.bicep", "@sealed()\n", "", "is not sealed: a misspelt name would compile"),
    ("main.bicep", "param settings appSettings", "@secure()\nparam settings appSettings", "BCP308"),
]
MISSING = [
    ("app/function-app.bicep", "  name: name\n  location: location\n", "  name: name\n", "location"),
    ("app/function-app.bicep", "      runtime: {\n        name: 'python'\n        version: pythonVersion\n      }\n", "", "no-unused-params"),
    ("app/function-app.bicep", "        version: pythonVersion\n", "        version: pythonVersion == '' ? null : null\n", "runtime.version is None"),
    ("app/storage.bicep", "  kind: 'StorageV2'\n", "", '"kind"'),
    ("app/roles.bicep", "    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataOwner)\n", "", '"roleDefinitionId"'),
    ("main.bicep", "    sku: storageSku\n", "", '"sku"'),
    ("main.bicep", "    sku: storageSku\n", "    sku: storageSku\n    tier: 'Hot'\n", 'property "tier" is not allowed'),
    ("app/function-app.bicep", "Microsoft.Web/sites@2025-03-01' = {", "Microsoft.Web/sites@2022-03-32' = {", "not recognized as a valid DateOnly"),
    ("app/function-app.bicep", "Microsoft.Web/sites@2025-03-01' = {", "Microsoft.Web/sites@2025-03-02' = {", "BCP081"),
    ("samples/existing-services.bicepparam", "param fhirServiceName", "param fhirServerName", '"fhirServerName"'),
    ("samples/existing-services.bicepparam", "param healthWorkspaceName = 'contosohealth'\n", "", '"healthWorkspaceName"'),
    ("samples/existing-services.bicepparam", "Patient__PatientSystemId", "Patient__PatientSystem", '"Patient__PatientSystem"'),
    ("samples/everything.bicepparam", "alwaysReady = true", "alwaysReady = 'true'", 'type "bool"'),
    ("app/workbook.bicep", "param name string", "param name string\nmodule main '../main.bicep' = {}", "cycle"),
    ("app/roles.bicep", "    principalType: 'ServicePrincipal'\n    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dicomDataReader)", "    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dicomDataReader)", "principalType is None"),
]
POSTURE = [
    ("app/storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", "allowSharedKeyAccess is True: identities only"),
    ("app/storage.bicep", "    allowSharedKeyAccess: false\n", "", "allowSharedKeyAccess is None: identities only"),
    ("app/storage.bicep", "allowBlobPublicAccess: false", "allowBlobPublicAccess: true", "allowBlobPublicAccess is True"),
    ("app/storage.bicep", "publicAccess: 'None'", "publicAccess: 'Blob'", "publicAccess is 'Blob'"),
    ("app/storage.bicep", "supportsHttpsTrafficOnly: true", "supportsHttpsTrafficOnly: false", "supportsHttpsTrafficOnly is False"),
    ("app/storage.bicep", "'TLS1_2'", "'TLS1_0'", "minimumTlsVersion is 'TLS1_0'"),
    ("app/storage.bicep", "allowPublicNetworkAccess ? 'Enabled' : 'Disabled'", "allowPublicNetworkAccess ? 'Enabled' : 'Enabled'", "publicNetworkAccess is 'Enabled': private"),
    ("app/storage.bicep", "'Allow' : 'Deny'", "'Allow' : 'Allow'", "defaultAction is 'Allow': private"),
    ("app/health.bicep", "'Enabled' : 'Disabled'", "'Enabled' : 'Enabled'", "workspaces properties.publicNetworkAccess is 'Enabled'"),
    ("app/function-app.bicep", "httpsOnly: true", "httpsOnly: false", "httpsOnly is False"),
    ("app/function-app.bicep", "allow: false", "allow: true", "properties.allow is True: no publishing password"),
    ("app/function-app.bicep", "ftpsState: 'Disabled'", "ftpsState: 'AllAllowed'", "ftpsState is 'AllAllowed'"),
    ("app/monitoring.bicep", "disableLocalAuth: true", "disableLocalAuth: false", "disableLocalAuth is False"),
    ("app/monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false", "DisableLocalAuth is False"),
    ("app/function-app.bicep", "maximumInstanceCount: 40", "maximumInstanceCount: 5000", "maximumInstanceCount is 5000"),
    ("app/function-app.bicep", "ftpsState: 'Disabled'", "ftpsState: 'Disabled'\n      linuxFxVersion: 'PYTHON|3.13'", "linuxFxVersion is 'PYTHON|3.13': Flex Consumption refuses it"),
    ("app/storage.bicep", "output name string = account.name", "output name string = account.listKeys().keys[0].value", "outputs-should-not-contain-secrets"),
    ("app/function-app.bicep", "TableStore__TableNamePrefix: tableNamePrefix\n", "TableStore__TableNamePrefix: tableNamePrefix\n  WEBSITE_CONTENTSHARE: 'share'\n", "Flex Consumption refuses WEBSITE_CONTENTSHARE"),
    ("app/function-app.bicep", "  SyncSchedule: syncSchedule\n", "  SyncSchedule: syncSchedule\n  FUNCTIONS_WORKER_RUNTIME: 'python'\n", "Flex Consumption refuses FUNCTIONS_WORKER_RUNTIME"),
    ("app/function-app.bicep", "'azd-service-name': 'app'", "'azd-service-name': 'api'", "azd-service-name is 'api'"),
    ("app/storage.bicep", "resource tableService", "resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {\n  parent: account\n  name: 'default'\n}\n\nresource tableService", "queueServices has no row in the table of posture"),
]
ROLES = [
    ("app/roles.bicep", "3f88fce4-5892-4214-ae73-ba5294559913", "5a1fc7df-4bf1-4951-a576-89034ee01acd", "role 5a1fc7df-4bf1-4951-a576-89034ee01acd on Microsoft.HealthcareApis/workspaces/fhirservices is none of the app's"),
    ("app/roles.bicep", "e89c7a3c-2f64-4fa1-a847-3e4c9ba4283a", "58a3b984-7adf-4c20-983a-32417c86fbc8", "is missing: DICOM Data Reader"),
    ("app/roles.bicep", "  scope: fhirService\n", "  scope: workspace\n", "fhirservices is missing: FHIR Data Writer"),
    ("app/roles.bicep", "  scope: storageAccount\n", "", "the whole resource group is none of the app's"),
    ("app/roles.bicep", "name: guid(storageAccount.id, principalId, storageTableDataContributor)", "name: guid(storageAccount.id, storageTableDataContributor)", "its name is not made of scope, principal and role"),
    ("app/roles.bicep", "resource fhir 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(fhirServiceName))", "resource fhir 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (empty(fhirServiceName))", "fhirservices/none, which is none of the deployment's"),
    ("main.bicep", "  dependsOn: [roles, healthRoles]\n", "", "module functionApp does not wait for healthRoles, roles"),
    ("main.bicep", "dependsOn: [roles, healthRoles]", "dependsOn: [healthRoles]", "module functionApp does not wait for roles"),
    ("main.bicep", "    fhirServiceName: fhirServiceName\n  }\n  dependsOn: [health]\n", "    fhirServiceName: fhirServiceName\n  }\n", "module healthRoles does not wait for health"),
]
SETTINGS = [
    ("app/function-app.bicep", "  AzureWebJobsStorage__credential: 'managedidentity'\n", "", "AzureWebJobsStorage__credential is neither set nor taken"),
    ("app/function-app.bicep", "Authorization=AAD", "Authorization=ADD", "setting APPLICATIONINSIGHTS_AUTHENTICATION_STRING is"),
    ("app/function-app.bicep", "  AzureWebJobsStorage__clientId: identityClientId", "  AzureWebJobsStorage__clientID: identityClientId", "AzureWebJobsStorage__clientId is neither set nor taken"),
    ("app/function-app.bicep", "Fhir__Authentication__Enabled: 'true'", "Fhir__Authentication__Enabled: 'false'", "setting Fhir__Authentication__Enabled is false"),
    ("app/function-app.bicep", "Fhir__Endpoint: fhirEndpoint", "Fhir__Endpoint: dicomEndpoint", "no-unused-params"),
    ("app/settings.bicep", "  DicomCast__BatchSize: string?\n", "", "DicomCast__BatchSize is neither set nor taken"),
    ("app/function-app.bicep", "union(settingsOfTemplate, settings)", "union(settings, settingsOfTemplate)", "does not go over the template's own"),
    ("main.bicep", "identityClientId: identity.properties.clientId", "identityClientId: identity.properties.principalId", "parameter identityClientId of the app's module is"),
    ("main.bicep", "    fhirEndpoint: fhirEndpoint\n", "    fhirEndpoint: dicomEndpoint\n", "no-unused-params"),
]
NETWORKS = [
    ("main.bicep", "groupId: 'sites'", "groupId: 'site'", "private endpoint sites is missing"),
    ("app/function-app.bicep", "closePublicAccess ? 'Disabled' : 'Enabled'", "closePublicAccess ? 'Enabled' : 'Enabled'", "publicNetworkAccess is 'Enabled': closePublicAccess"),
    ("app/function-app.bicep", "empty(allowedIpRanges) ? 'Allow' : 'Deny'", "empty(allowedIpRanges) ? 'Allow' : 'Allow'", "addresses that are allowed shut the others out"),
    ("app/function-app.bicep", "scmIpSecurityRestrictionsUseMain: true", "scmIpSecurityRestrictionsUseMain: false", "UseMain is False"),
    ("app/network.bicep", "'Microsoft.App/environments'", "'Microsoft.Web/serverFarms'", "subnets and their delegations are"),
    ("app/network.bicep", "groupId: 'table'", "groupId: 'tables'", "private endpoint tables does not lead to anything known"),
    ("app/network.bicep", "privatelink.fhir.azurehealthcareapis.com", "privatelink.fhir.azurehealthcareapi.com", "lacks the DNS zone privatelink.fhir.azurehealthcareapis.com"),
    ("app/network.bicep", "privatelink.table.", "privatelink.tables.", "lacks the DNS zone privatelink.table.{0}"),
    ("app/network.bicep", "groupId: 'healthcareworkspace'", "groupId: 'healthcareworkspaces'", "private endpoint healthcareworkspace is missing"),
    ("app/private-endpoint.bicep", "registrationEnabled: false", "registrationEnabled: true", "registrationEnabled is True"),
    ("main.bicep", "enablePrivateNetworking ? network!.outputs.appSubnetId : ''", "enablePrivateNetworking ? '' : ''", "module functionApp does not wait for network"),
]
ALERTS = [
    ("app/alerts.bicep", "operator: 'LessThan'", "operator: 'GreaterThan'", "alert no-successful-tick is"),
    ("app/alerts.bicep", "evaluationFrequency: 'PT5M'", "evaluationFrequency: 'PT3M'", "evaluationFrequency is 'PT3M'"),
    ("app/alerts.bicep", "      skipQueryValidation: true\n", "", "skipQueryValidation is None"),
    ("app/alerts.bicep", "windowSize: 'PT15M'", "windowSize: 'PT20M'", "windowSize is 'PT20M'"),
    ("app/alerts.bicep", "measure: 'BehindSeconds'", "measure: 'BehindSecond'", "alert lag is"),
    ("app/alerts.bicep", "queries/behind.kql", "queries/behinds.kql", "BCP091"),
    ("app/alerts.bicep", "    enabled: true\n      autoMitigate", "    enabled: false\n      autoMitigate", "properties.enabled is False"),
]
# fmt: on
PLANTED = [*SPELLING, *TYPES, *MISSING, *POSTURE, *ROLES, *SETTINGS, *NETWORKS, *ALERTS]
KQL = [
    ("lag", "message startswith", "mesage startswith"),
    ("lag", "| project", "| proect"),
    ("lag", "todouble(", "tofloat("),
    ("outcomes", "bin(timestamp, 5m)", "bin(timestam, 5m)"),
    ("function-failures", "resultCode", "resultcode"),
]


@pytest.fixture
def planted(tmp_path):
    """Puts a fault into a copy of infra/."""

    def plant(name, right, wrong):
        copy = shutil.copytree(INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns("*.snapshot.json", "*.py*"))
        text = (copy / name).read_text()
        assert right in text, "the table is older than infra/"
        (copy / name).write_text(text.replace(right, wrong, 1))
        return copy

    return plant


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"), PLANTED, ids=[f"{row[0]}: {row[2][:40]!r}" for row in PLANTED]
)
def test_a_planted_fault_is_found(compiler, planted, name, right, wrong, said):
    """For what it is: by the compiler, its linter, the table of posture, the settings or the edges; never by a stored snapshot."""
    told = "\n".join(faults(planted(name, right, wrong), compiler))
    assert said in told


@pytest.mark.parametrize(("name", "right", "wrong"), KQL)
def test_a_fault_in_a_query_is_found(planted, name, right, wrong):
    """A wrong column, operator or function, by Microsoft's analysis."""
    (told,) = analysed([(planted(f"queries/{name}.kql", right, wrong) / "queries" / f"{name}.kql").read_text()])
    assert told
