// Every role of the app's identity. Called once for each resource group that holds what it works on.
// Storage Queue Data Contributor is left out: the Functions host uses queues for blob and Durable triggers only.
param principalId string
param storageAccountName string = ''
param applicationInsightsName string = ''
param healthWorkspaceName string = ''
param dicomServiceName string = ''
param fhirServiceName string = ''

// The package, the lease, and the host's own locks and keys: the host's documentation asks for Owner.
var storageBlobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
// Watermark, errors; the host's diagnostic events.
var storageTableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
// Logs and metrics into an Application Insights that takes no key.
var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'
// The change feed and metadata: nothing is ever written to the DICOM service.
var dicomDataReader = 'e89c7a3c-2f64-4fa1-a847-3e4c9ba4283a'
// Read, write, soft delete: all that the app does. FHIR Data Contributor may also erase a resource with its history.
var fhirDataWriter = '3f88fce4-5892-4214-ae73-ba5294559913'

// A name is needed even where nothing is assigned: ARM reads it all the same.
var none = 'none'

resource storageAccount 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: empty(storageAccountName) ? none : storageAccountName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: empty(applicationInsightsName) ? none : applicationInsightsName
}

resource workspace 'Microsoft.HealthcareApis/workspaces@2024-03-31' existing = {
  name: empty(healthWorkspaceName) ? none : healthWorkspaceName
}

resource dicomService 'Microsoft.HealthcareApis/workspaces/dicomservices@2024-03-31' existing = {
  parent: workspace
  name: empty(dicomServiceName) ? none : dicomServiceName
}

resource fhirService 'Microsoft.HealthcareApis/workspaces/fhirservices@2024-03-31' existing = {
  parent: workspace
  name: empty(fhirServiceName) ? none : fhirServiceName
}

resource storageBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(storageAccountName)) {
  name: guid(storageAccount.id, principalId, storageBlobDataOwner)
  scope: storageAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataOwner)
  }
}

resource storageTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(storageAccountName)) {
  name: guid(storageAccount.id, principalId, storageTableDataContributor)
  scope: storageAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageTableDataContributor)
  }
}

resource telemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(applicationInsightsName)) {
  name: guid(applicationInsights.id, principalId, monitoringMetricsPublisher)
  scope: applicationInsights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
  }
}

resource dicom 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(dicomServiceName)) {
  name: guid(dicomService.id, principalId, dicomDataReader)
  scope: dicomService
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dicomDataReader)
  }
}

resource fhir 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(fhirServiceName)) {
  name: guid(fhirService.id, principalId, fhirDataWriter)
  scope: fhirService
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', fhirDataWriter)
  }
}
