// A sample: DICOM and FHIR service are made here, and the app reaches all by a private network.
using '../main.bicep'

param healthWorkspaceName = 'contosohealth'
param deployHealthDataServices = true
param enablePrivateNetworking = true
param closePublicAccess = true

param storageSku = 'Standard_ZRS'
param alwaysReady = true
param alertEmailAddresses = ['imaging-oncall@contoso.example']

param settings = {
  Patient__PatientSystemId: 'urn:oid:1.2.3.4'
}
