// DICOM Cast on Azure Functions, with identities only: no key, no connection string, no secret. See docs/deploy.md.
targetScope = 'resourceGroup'

import { appSettings } from 'app/settings.bicep'

@description('Begins the names of the resources.')
@minLength(3)
@maxLength(20)
param name string = 'dicom-cast'

param location string = resourceGroup().location
param tags { *: string } = {}

// --- DICOM and FHIR ---

@description('Workspace of Azure Health Data Services; empty where neither service is in one.')
@maxLength(24)
param healthWorkspaceName string

@description('true: the workspace, its DICOM and its FHIR service are made in this resource group.')
param deployHealthDataServices bool = false

@description('DICOM service in the workspace; empty: the DICOM server is elsewhere, and dicomEndpoint says where.')
param dicomServiceName string = 'dicom'

@description('FHIR service in the workspace; empty: the FHIR server is elsewhere, and fhirEndpoint says where.')
param fhirServiceName string = 'fhir'

@description('Where an existing workspace is.')
param healthResourceGroupName string = resourceGroup().name
param healthSubscriptionId string = subscription().subscriptionId

@description('false: somebody else gives the app its roles on the DICOM and the FHIR service.')
param assignHealthRoles bool = true

@description('URL of the DICOM service. It becomes Endpoint.address, so it should not change later.')
param dicomEndpoint string = 'https://${healthWorkspaceName}-${dicomServiceName}.dicom.azurehealthcareapis.com'

@description('URL to reach the DICOM service by, where it is another. Private endpoints of this template need none.')
param dicomPrivateEndpoint string = ''

@description('URL of the FHIR R4 server.')
param fhirEndpoint string = 'https://${healthWorkspaceName}-${fhirServiceName}.fhir.azurehealthcareapis.com'

// --- The app ---

@description('Name of the function app, unique in the world: it is a host name.')
@maxLength(60)
param functionAppName string = '${name}-${uniqueString(resourceGroup().id, name)}'

@description('When a tick begins: NCRONTAB, six fields, seconds first.')
param syncSchedule string = '*/2 * * * * *'

@description('DICOM Cast\'s TableStore__TableNamePrefix, so that deployments can share a storage account.')
@maxLength(20)
param tableNamePrefix string = ''

@description('Further settings, by their names in docs/configuration.md. Secrets only as Key Vault references.')
param settings appSettings = {}

@allowed(['3.11', '3.12', '3.13', '3.14'])
param pythonVersion string = '3.13'

@description('Memory of an instance. 512 does for batches of up to 2,000 entries of ordinary studies.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('true: one instance is always warm, so that a tick never waits for a cold start.')
param alwaysReady bool = false

@description('Storage account of the app. That of a DICOM Cast deployment goes on with its watermark: docs/deploy.md.')
@minLength(3)
@maxLength(24)
param storageAccountName string = '${take(toLower(replace(name, '-', '')), 11)}${uniqueString(resourceGroup().id, name)}'

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSku string = 'Standard_LRS'

// --- Network ---

@description('true: the app joins a virtual network, and reaches storage, DICOM and FHIR by private endpoints.')
param enablePrivateNetworking bool = false

@description('Address space of that network, /24 or larger.')
param virtualNetworkAddressPrefix string = '10.70.0.0/24'

@description('Addresses (CIDR) that may reach the page, the API and the publishing of packages; empty: all.')
param allowedIpRanges string[] = []

@description('true, with enablePrivateNetworking: page, API and publishing are reached from the virtual network only.')
param closePublicAccess bool = false

// --- Monitoring ---

@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Who is told, by mail. Empty with no actionGroupIds: the alerts are seen in the portal only.')
param alertEmailAddresses string[] = []

@description('Resource ids of action groups that are told as well.')
param actionGroupIds string[] = []

@description('How long there may be no successful tick. Longer than the schedule\'s longest pause.')
@allowed(['PT10M', 'PT15M', 'PT30M', 'PT1H', 'PT2H', 'PT6H'])
param tickAlertWindow string = 'PT10M'

@description('How old the oldest entry that is not synced may be, for a quarter of an hour, before the alarm.')
@minValue(60)
param lagAlertSeconds int = 900

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-identity'
  location: location
  tags: tags
}

module storage 'app/storage.bicep' = {
  params: {
    name: storageAccountName
    location: location
    tags: tags
    sku: storageSku
    tableNamePrefix: tableNamePrefix
    allowPublicNetworkAccess: !enablePrivateNetworking
  }
}

module monitoring 'app/monitoring.bicep' = {
  params: {
    name: name
    location: location
    tags: tags
    retentionDays: logRetentionDays
  }
}

module health 'app/health.bicep' = if (deployHealthDataServices) {
  params: {
    workspaceName: healthWorkspaceName
    dicomServiceName: dicomServiceName
    fhirServiceName: fhirServiceName
    location: location
    tags: tags
    allowPublicNetworkAccess: !enablePrivateNetworking
  }
}

module roles 'app/roles.bicep' = {
  params: {
    principalId: identity.properties.principalId
    storageAccountName: storage.outputs.name
    applicationInsightsName: monitoring.outputs.applicationInsightsName
  }
}

module healthRoles 'app/roles.bicep' = if (assignHealthRoles) {
  scope: resourceGroup(healthSubscriptionId, healthResourceGroupName)
  params: {
    principalId: identity.properties.principalId
    healthWorkspaceName: healthWorkspaceName
    dicomServiceName: dicomServiceName
    fhirServiceName: fhirServiceName
  }
  dependsOn: [health]
}

module network 'app/network.bicep' = if (enablePrivateNetworking) {
  params: {
    name: name
    location: location
    tags: tags
    addressPrefix: virtualNetworkAddressPrefix
    storageAccountId: storage.outputs.id
    healthWorkspaceId: empty(healthWorkspaceName)
      ? ''
      : resourceId(
          healthSubscriptionId,
          healthResourceGroupName,
          'Microsoft.HealthcareApis/workspaces',
          healthWorkspaceName
        )
  }
  dependsOn: [health]
}

module functionApp 'app/function-app.bicep' = {
  params: {
    name: functionAppName
    planName: '${name}-plan'
    location: location
    tags: tags
    identityId: identity.id
    identityClientId: identity.properties.clientId
    blobServiceUri: storage.outputs.blobServiceUri
    tableServiceUri: storage.outputs.tableServiceUri
    packageContainerName: storage.outputs.packageContainerName
    applicationInsightsConnectionString: monitoring.outputs.applicationInsightsConnectionString
    allowedIpRanges: allowedIpRanges
    closePublicAccess: enablePrivateNetworking && closePublicAccess
    subnetId: enablePrivateNetworking ? network!.outputs.appSubnetId : ''
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    alwaysReady: alwaysReady
    syncSchedule: syncSchedule
    dicomEndpoint: dicomEndpoint
    dicomPrivateEndpoint: dicomPrivateEndpoint
    fhirEndpoint: fhirEndpoint
    tableNamePrefix: tableNamePrefix
    settings: settings
  }
  // The app reads its package with these roles, and DICOM and FHIR from its first tick.
  dependsOn: [roles, healthRoles]
}

module inbound 'app/private-endpoint.bicep' = if (enablePrivateNetworking && closePublicAccess) {
  params: {
    name: '${name}-app'
    location: location
    tags: tags
    resourceId: functionApp.outputs.id
    groupId: 'sites'
    zones: ['privatelink.azurewebsites.net']
    virtualNetworkId: network!.outputs.virtualNetworkId
    subnetId: network!.outputs.endpointSubnetId
  }
}

module alerts 'app/alerts.bicep' = {
  params: {
    name: name
    location: location
    tags: tags
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    emailAddresses: alertEmailAddresses
    actionGroupIds: actionGroupIds
    tickWindow: tickAlertWindow
    lagSeconds: lagAlertSeconds
  }
}

module workbook 'app/workbook.bicep' = {
  params: {
    name: name
    location: location
    tags: tags
    applicationInsightsId: monitoring.outputs.applicationInsightsId
  }
}

output functionAppName string = functionApp.outputs.name

@description('Likewise, under the name that Azure Developer CLI\'s templates have for it.')
output SERVICE_APP_NAME string = functionApp.outputs.name
output functionAppUrl string = functionApp.outputs.url
output identityPrincipalId string = identity.properties.principalId
output identityClientId string = identity.properties.clientId
output storageAccountName string = storage.outputs.name
output applicationInsightsName string = monitoring.outputs.applicationInsightsName

@description('What comes next, in this order.')
output nextCommands string[] = [
  'func azure functionapp publish ${functionApp.outputs.name} --python'
  'KEY=$(az functionapp keys list --resource-group ${resourceGroup().name} --name ${functionApp.outputs.name} --query functionKeys.default --output tsv)'
  'curl --header "x-functions-key: $KEY" ${functionApp.outputs.url}/api/check'
]
