// A workspace of Azure Health Data Services with a DICOM and a FHIR R4 service, for those who have none yet.
param workspaceName string
param dicomServiceName string
param fhirServiceName string
param location string
param tags { *: string }
param allowPublicNetworkAccess bool

var publicNetworkAccess = allowPublicNetworkAccess ? 'Enabled' : 'Disabled'

resource workspace 'Microsoft.HealthcareApis/workspaces@2024-03-31' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    publicNetworkAccess: publicNetworkAccess
  }
}

resource dicomService 'Microsoft.HealthcareApis/workspaces/dicomservices@2024-03-31' = {
  parent: workspace
  name: dicomServiceName
  location: location
  tags: tags
  properties: {
    publicNetworkAccess: publicNetworkAccess
  }
}

resource fhirService 'Microsoft.HealthcareApis/workspaces/fhirservices@2024-03-31' = {
  parent: workspace
  name: fhirServiceName
  location: location
  tags: tags
  kind: 'fhir-R4'
  properties: {
    authenticationConfiguration: {
      audience: 'https://${workspaceName}-${fhirServiceName}.fhir.azurehealthcareapis.com'
      authority: '${environment().authentication.loginEndpoint}${tenant().tenantId}'
      smartProxyEnabled: false
    }
    publicNetworkAccess: publicNetworkAccess
  }
}
