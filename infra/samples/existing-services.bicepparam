// A sample: Azure Health Data Services that are there already. Copy it, and name yours.
using '../main.bicep'

param healthWorkspaceName = 'contosohealth'
param dicomServiceName = 'dicom'
param fhirServiceName = 'fhir'
// Only where the workspace is in another resource group or subscription than the app:
param healthResourceGroupName = 'imaging'

param alertEmailAddresses = ['imaging-oncall@contoso.example']

param settings = {
  Patient__PatientSystemId: 'urn:oid:1.2.3.4'
  DicomCast__DefaultUtcOffset: '+01:00'
}
