// The app's storage account: the package, the lease, the watermark, the error tables. Entra ID only.
param name string
param location string
param tags { *: string }
param sku string
param tableNamePrefix string
param allowPublicNetworkAccess bool

var packageContainer = 'app-package'
// The lease; the app makes it as well where it is not there.
var leaseContainer = 'dicom-cast'
var tables = [
  'SyncStateTable'
  'OpenRowTable'
  'TickTable'
  'ReplayTable'
  'AuditTable'
  'AuditDifferenceTable'
  'InvalidDicomTagExceptionTable'
  'DicomFailToStoreExceptionTable'
  'FhirFailToStoreExceptionTable'
  'TransientRetryExceptionTable'
  'TransientFailureExceptionTable'
]

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: allowPublicNetworkAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: allowPublicNetworkAccess ? 'Allow' : 'Deny'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [
  for container in [packageContainer, leaseContainer]: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource tableStore 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = [
  for table in tables: {
    parent: tableService
    name: '${tableNamePrefix}${table}'
  }
]

output id string = account.id
output name string = account.name
output blobServiceUri string = account.properties.primaryEndpoints.blob
output tableServiceUri string = account.properties.primaryEndpoints.table
output packageContainerName string = packageContainer
