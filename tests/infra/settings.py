"""The app's settings as the compiled template has them, held against the app's own."""

import itertools

from shared.settings.authentication import CREDENTIALS, SWITCHES
from shared.settings.config import SERVICES, SETTINGS
from shared.settings.transport import TRANSPORT

HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureFunctionsJobHost__telemetryMode",
    "AzureWebJobsStorage__credential",
    "SyncSchedule",
}
"""What the Functions host reads, and the app does not."""
NEVER = {"AzureWebJobsStorage", "AzureWebJobsStorage__accountName"}
"""A connection string is a secret: the identity stands in its place, with the account's URLs, which its name would only guess."""
_CLIENT_ID = "[parameters('identityClientId')]"
VALUES = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "[format('ClientId={0};Authorization=AAD', parameters('identityClientId'))]",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "[parameters('applicationInsightsConnectionString')]",
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__clientId": _CLIENT_ID,
    "AzureWebJobsStorage__blobServiceUri": "[parameters('blobServiceUri')]",
    "AzureWebJobsStorage__tableServiceUri": "[parameters('tableServiceUri')]",
    "SyncSchedule": "[parameters('syncSchedule')]",
    "DicomWeb__Endpoint": "[parameters('dicomEndpoint')]",
    "DicomWeb__PrivateEndpoint": "[parameters('dicomPrivateEndpoint')]",
    "DicomWeb__Authentication__Enabled": "true",
    "DicomWeb__Authentication__ManagedIdentityCredential__ClientId": _CLIENT_ID,
    "Fhir__Endpoint": "[parameters('fhirEndpoint')]",
    "Fhir__Authentication__Enabled": "true",
    "Fhir__Authentication__ManagedIdentityCredential__ClientId": _CLIENT_ID,
    "TableStore__TableNamePrefix": "[parameters('tableNamePrefix')]",
}
"""What the template sets, as compiled."""
OUTPUTS = {
    "identityId": "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', format('{0}-identity', parameters('name')))]",
    "identityClientId": "[reference('identity').clientId]",
    "blobServiceUri": "[reference('storage').outputs.blobServiceUri.value]",
    "tableServiceUri": "[reference('storage').outputs.tableServiceUri.value]",
    "packageContainerName": "[reference('storage').outputs.packageContainerName.value]",
    "closePublicAccess": "[and(parameters('enablePrivateNetworking'), parameters('closePublicAccess'))]",
    "applicationInsightsConnectionString": "[reference('monitoring').outputs.applicationInsightsConnectionString.value]",
}
"""What the app's module is given of the others'; main.bicep's own parameters go through under their names."""
REFUSED = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_VNET_ROUTE_ALL",
}
"""Flex Consumption's deprecations (Microsoft, "App settings reference for Azure Functions")."""


def of_app():
    """Every setting that the app reads, by its full name."""
    names = {row.name for row in SETTINGS}
    rows = itertools.chain(TRANSPORT, SWITCHES, *CREDENTIALS.values())
    return names | {f"{service}__{row.name}" for row in rows for service in SERVICES}


def faults(template, wanted=None):
    """What is wrong with the settings. `wanted`: the app's; a test gives others."""
    module, given = template["resources"]["functionApp"]["properties"], set_by(template)
    answered = set(given) | set(taken(template))
    wanted = ((of_app() if wanted is None else wanted) - NEVER) | HOST
    told = [f"Flex Consumption refuses {name}" for name in sorted(answered & REFUSED)]
    told += [f"setting {name} is neither set nor taken" for name in sorted(wanted - answered)]
    told += [f"setting {name} is read by nobody" for name in sorted(answered - wanted - REFUSED)]
    told += [
        f"setting {name} is {given.get(name)}, not {VALUES.get(name)}"
        for name in sorted(given.keys() | VALUES.keys())
        if given.get(name) != VALUES.get(name)
    ]
    (configuration,) = (one for one in _resources(template) if one["type"] == "Microsoft.Web/sites/config")
    if configuration["properties"] != "[union(variables('settingsOfTemplate'), parameters('settings'))]":
        told.append("the parameter `settings` does not go over the template's own")
    for name, one in module["parameters"].items():
        through = f"[parameters('{name}')]" if name in template["parameters"] and name != "name" else None
        if (meant := OUTPUTS.get(name, through)) and one["value"] != meant:
            told.append(f"parameter {name} of the app's module is {one['value']}, not {meant}")
    return told + _type_faults(template)


def _type_faults(template):
    told = []
    definition = template["definitions"]["appSettings"]
    if definition["type"] != "secureObject":
        told.append("the type of `settings` is not secure: values would stand in the deployment's history")
    if definition.get("additionalProperties") is not False:
        told.append("the type of `settings` is not sealed: a misspelt name would compile")
    if (
        template["resources"]["functionApp"]["properties"]["parameters"]["settings"]["value"]
        != "[parameters('settings')]"
    ):
        told.append("the parameter `settings` does not reach the app's module")
    inner = template["resources"]["functionApp"]["properties"]["template"]
    if inner["definitions"]["appSettings"]["type"] != "secureObject":
        told.append("`settings` is not secure in the app's module")
    return told


def set_by(template):
    """The settings that the template decides, as compiled."""
    return template["resources"]["functionApp"]["properties"]["template"]["variables"]["settingsOfTemplate"]


def taken(template):
    """The members of the parameter `settings`."""
    return template["definitions"]["appSettings"]["properties"]


def _resources(template):
    return template["resources"]["functionApp"]["properties"]["template"]["resources"].values()
