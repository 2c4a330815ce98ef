// Flex Consumption plan and function app. Everything it reaches it reaches as its user-assigned identity.
import { appSettings } from 'settings.bicep'

param name string
param planName string
param location string
param tags { *: string }
param identityId string
param identityClientId string
param blobServiceUri string
param tableServiceUri string
param packageContainerName string
param applicationInsightsConnectionString string

@description('Subnet delegated to Microsoft.App/environments; empty: no virtual network.')
param subnetId string

@description('Empty: all addresses.')
param allowedIpRanges string[]
param closePublicAccess bool
param pythonVersion string
param instanceMemoryMB int
param alwaysReady bool
param syncSchedule string
param dicomEndpoint string
param dicomPrivateEndpoint string
param fhirEndpoint string
param tableNamePrefix string

param settings appSettings

// What main.bicep decides; `settings` goes over it.
var settingsOfTemplate = {
  // Read by the Functions host.
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
  AzureWebJobsStorage__credential: 'managedidentity'
  SyncSchedule: syncSchedule
  // Read by both.
  AzureWebJobsStorage__blobServiceUri: blobServiceUri
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__tableServiceUri: tableServiceUri
  // Read by the app.
  DicomWeb__Endpoint: dicomEndpoint
  DicomWeb__PrivateEndpoint: dicomPrivateEndpoint
  DicomWeb__Authentication__Enabled: 'true'
  DicomWeb__Authentication__ManagedIdentityCredential__ClientId: identityClientId
  Fhir__Endpoint: fhirEndpoint
  Fhir__Authentication__Enabled: 'true'
  Fhir__Authentication__ManagedIdentityCredential__ClientId: identityClientId
  TableStore__TableNamePrefix: tableNamePrefix
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  // By this tag Azure Developer CLI finds where to deploy the service of azure.yaml.
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    publicNetworkAccess: closePublicAccess ? 'Disabled' : 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      ftpsState: 'Disabled'
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: empty(allowedIpRanges) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [
        for (range, i) in allowedIpRanges: {
          name: 'allowed-${i}'
          action: 'Allow'
          ipAddress: range
          priority: 100 + i
        }
      ]
      scmIpSecurityRestrictionsUseMain: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobServiceUri}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        // One instance ticks at a time; the others would only answer HTTP.
        maximumInstanceCount: 40
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: alwaysReady ? [{ name: 'function:sync', instanceCount: 1 }] : []
      }
    }
  }
}

resource ftpBasicAuth 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmBasicAuth 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource configuration 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settingsOfTemplate, settings)
}

output id string = app.id
output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
