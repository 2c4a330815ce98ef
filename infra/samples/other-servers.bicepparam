// A sample: DICOM and FHIR servers that are in no workspace of Azure Health Data Services.
using '../main.bicep'

param healthWorkspaceName = ''
param dicomServiceName = ''
param fhirServiceName = ''
param dicomEndpoint = 'https://dicom.contoso.example'
param fhirEndpoint = 'https://fhir.contoso.example/r4'

param allowedIpRanges = ['203.0.113.0/24']

param settings = {
  DicomWeb__Authentication__AuthenticationType: 'OAuth2ClientCredential'
  DicomWeb__Authentication__OAuth2ClientCredential__TokenUri: 'https://login.contoso.example/token'
  DicomWeb__Authentication__OAuth2ClientCredential__ClientId: 'dicom-cast'
  DicomWeb__Authentication__OAuth2ClientCredential__ClientSecret: '@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/dicom)'
  Fhir__Authentication__Enabled: 'false'
}
