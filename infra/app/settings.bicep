// The app's settings that main.bicep has no parameter for: docs/configuration.md has names, meaning and defaults.
// What is left out keeps its default. The type is sealed: a misspelt name does not compile.
@export()
@secure()
@sealed()
type appSettings = {
  DicomWeb__ApiVersion: string?
  DicomCast__AllowPlainHttp: string?
  DicomCast__BatchSize: string?
  DicomCast__MaxBatchesPerTick: string?
  DicomCast__MaxConcurrency: string?
  DicomCast__MaxInstancesPerStudy: string?
  DicomCast__GapGracePeriod: string?
  DicomCast__StudySettle: string?
  Fhir__SearchDelay: string?
  DicomCast__LeaseDuration: string?
  DicomCast__TickTimeBudget: string?
  DicomCast__HealthMaxAge: string?
  RetryConfiguration__TotalRetryDuration: string?
  DicomCast__DefaultUtcOffset: string?
  DicomCast__Features__EnforceValidationOfTagValues: string?
  DicomCast__Features__IgnoreJsonParsingErrors: string?
  DicomCast__Features__ExtendedMapping: string?
  DicomCast__Features__GenerateObservations: string?
  DicomCast__Features__StudyPage: string?
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: string?
  AzureFunctionsJobHost__telemetryMode: string?
  DicomCast__AccessionSystem: string?
  DicomCast__AccessionIssuers: string?
  Patient__PatientSystemId: string?
  Patient__IsIssuerIdUsed: string?
  Patient__UpdatePolicy: string?
  DicomWeb__Tls__CaFile: string?
  DicomWeb__Tls__ClientCertificateFile: string?
  DicomWeb__Tls__ClientKeyFile: string?
  DicomWeb__Proxy: string?
  DicomWeb__Authentication__Enabled: string?
  DicomWeb__Authentication__AuthenticationType: string?
  DicomWeb__Authentication__ManagedIdentityCredential__Resource: string?
  DicomWeb__Authentication__ManagedIdentityCredential__ClientId: string?
  DicomWeb__Authentication__OAuth2ClientCredential__TokenUri: string?
  DicomWeb__Authentication__OAuth2ClientCredential__ClientId: string?
  DicomWeb__Authentication__OAuth2ClientCredential__ClientSecret: string?
  DicomWeb__Authentication__OAuth2ClientCredential__Resource: string?
  DicomWeb__Authentication__OAuth2ClientCredential__Scope: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__TokenUri: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__ClientId: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__ClientSecret: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__Username: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__Password: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__Resource: string?
  DicomWeb__Authentication__OAuth2UserPasswordCredential__Scope: string?
  DicomWeb__Authentication__BasicCredential__Username: string?
  DicomWeb__Authentication__BasicCredential__Password: string?
  Fhir__Tls__CaFile: string?
  Fhir__Tls__ClientCertificateFile: string?
  Fhir__Tls__ClientKeyFile: string?
  Fhir__Proxy: string?
  Fhir__Authentication__Enabled: string?
  Fhir__Authentication__AuthenticationType: string?
  Fhir__Authentication__ManagedIdentityCredential__Resource: string?
  Fhir__Authentication__ManagedIdentityCredential__ClientId: string?
  Fhir__Authentication__OAuth2ClientCredential__TokenUri: string?
  Fhir__Authentication__OAuth2ClientCredential__ClientId: string?
  Fhir__Authentication__OAuth2ClientCredential__ClientSecret: string?
  Fhir__Authentication__OAuth2ClientCredential__Resource: string?
  Fhir__Authentication__OAuth2ClientCredential__Scope: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__TokenUri: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__ClientId: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__ClientSecret: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__Username: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__Password: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__Resource: string?
  Fhir__Authentication__OAuth2UserPasswordCredential__Scope: string?
  Fhir__Authentication__BasicCredential__Username: string?
  Fhir__Authentication__BasicCredential__Password: string?
}
