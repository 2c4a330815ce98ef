// A virtual network for the app, and private endpoints in it for what the app reaches.
param name string
param location string
param tags { *: string }
param addressPrefix string
param storageAccountId string

@description('Empty: neither DICOM nor FHIR is in a workspace.')
param healthWorkspaceId string

resource virtualNetwork 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: '${name}-network'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          delegations: [
            {
              name: 'flex-consumption'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

module blobs 'private-endpoint.bicep' = {
  params: {
    name: '${name}-blobs'
    location: location
    tags: tags
    resourceId: storageAccountId
    groupId: 'blob'
    zones: ['privatelink.blob.${environment().suffixes.storage}']
    virtualNetworkId: virtualNetwork.id
    subnetId: virtualNetwork::endpointSubnet.id
  }
}

module tables 'private-endpoint.bicep' = {
  params: {
    name: '${name}-tables'
    location: location
    tags: tags
    resourceId: storageAccountId
    groupId: 'table'
    zones: ['privatelink.table.${environment().suffixes.storage}']
    virtualNetworkId: virtualNetwork.id
    subnetId: virtualNetwork::endpointSubnet.id
  }
}

// One endpoint serves the workspace and every DICOM and FHIR service in it.
module health 'private-endpoint.bicep' = if (!empty(healthWorkspaceId)) {
  params: {
    name: '${name}-health'
    location: location
    tags: tags
    resourceId: healthWorkspaceId
    groupId: 'healthcareworkspace'
    zones: [
      'privatelink.workspace.azurehealthcareapis.com'
      'privatelink.dicom.azurehealthcareapis.com'
      'privatelink.fhir.azurehealthcareapis.com'
    ]
    virtualNetworkId: virtualNetwork.id
    subnetId: virtualNetwork::endpointSubnet.id
  }
}

output virtualNetworkId string = virtualNetwork.id
output endpointSubnetId string = virtualNetwork::endpointSubnet.id
output appSubnetId string = virtualNetwork::appSubnet.id
