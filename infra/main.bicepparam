// Of Azure Developer CLI (`azd up`), which reads its environment. For `az deployment` copy a file of samples/.
using 'main.bicep'

var environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'dicom-cast')
// Empty: a workspace with a DICOM and a FHIR service is made.
var workspace = readEnvironmentVariable('HEALTH_WORKSPACE_NAME', '')
var workspaceSeed = '${readEnvironmentVariable('AZURE_SUBSCRIPTION_ID', '')}${environmentName}'

param name = take(toLower(environmentName), 20)
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param tags = {
  'azd-env-name': environmentName
}

param healthWorkspaceName = empty(workspace) ? 'dicomcast${uniqueString(workspaceSeed)}' : workspace
param deployHealthDataServices = empty(workspace)
param dicomServiceName = readEnvironmentVariable('DICOM_SERVICE_NAME', 'dicom')
param fhirServiceName = readEnvironmentVariable('FHIR_SERVICE_NAME', 'fhir')
