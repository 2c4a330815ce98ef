"""The templates: they parse, every name leads somewhere, and each planted fault is found."""

import re
from pathlib import Path

import pytest
from pycep import BicepParser

from tests.infra.bicep import syntax
from tests.infra.bicep.check import check, declared_resources, parameters
from tests.infra.bicep.schema import stored

INFRA = Path(__file__).parents[2] / "infra"
TEMPLATES = sorted(INFRA.rglob("*.bicep"))
MAIN, APP, ROLES = INFRA / "main.bicep", INFRA / "app" / "function-app.bicep", INFRA / "app" / "roles.bicep"
STORAGE, ALERTS, NETWORK = (INFRA / "app" / f"{name}.bicep" for name in ("storage", "alerts", "network"))
named = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)


@pytest.fixture
def schemas():
    """Microsoft's schemas of all types that are used."""
    kinds = {kind for path in TEMPLATES for kind, _, _ in declared_resources(syntax.read(path))}
    if missing := [kind for kind in kinds if not stored(kind).exists()]:
        pytest.skip(f"no schema of {', '.join(missing)}: make check-infra stores them")


@named
def test_every_template_parses(path):
    """By two parsers that share no code."""
    assert BicepParser().parse(file_path=path)
    assert not syntax.read(path).faults


@named
def test_every_name_leads_somewhere(path):
    """Symbols, functions, modules, their parameters and outputs; with `make check-infra` resource types as well."""
    assert [str(fault) for fault in check(path)] == []


@named
def test_every_property_is_microsofts(path, schemas):
    """Types, API versions, properties and their types are those of Microsoft's schemas."""
    assert [str(fault) for fault in check(path)] == []


# fmt: off
NAMES = [
    (MAIN, "uniqueString(resourceGroup().id, name)", "uniqueSting(resourceGroup().id, name)", "unknown function uniqueSting"),
    (MAIN, "storage.outputs.id", "storage.outputs.resourceId", "storage.outputs has no member resourceId"),
    (MAIN, "principalId: identity.properties.principalId\n    healthWorkspaceName", "principalId: identiy.properties.principalId\n    healthWorkspaceName", "unknown symbol identiy"),
    (MAIN, "    sku: storageSku\n", "", "module storage: sku is missing"),
    (MAIN, "    sku: storageSku\n", "    sku: storageSku\n    tier: 'Hot'\n", "has no property tier"),
    (MAIN, "    sku: storageSku\n", "    sku: false\n", "module storage.sku: string is wanted, bool is given"),
    (MAIN, "app/storage.bicep", "app/store.bicep", "module app/store.bicep: there is no such file"),
    (MAIN, "param storageSku string = 'Standard_LRS'", "param storageSku string = 'Standard_XXX'", "'Standard_XXX' is given"),
    (MAIN, "dependsOn: [roles, healthRoles]", "dependsOn: [roles, rols]", "unknown symbol rols"),
    (MAIN, "module alerts 'app/alerts.bicep' = {", "module alerts 'app/alerts.bicep' = {{", "cannot be parsed"),
    (STORAGE, "output name string = account.name", "output name string = account.listKeys().keys[0].value", "keys and secrets are never listed"),
    (STORAGE, "var leaseContainer", "var packageContainer", "packageContainer is declared twice"),
    (STORAGE, "parent: tableService\n", "parent: blobs\n", "cannot be a child of Microsoft.Storage/storageAccounts/blobServices"),
    (ALERTS, "severity: rule.severity", "severity: rule.severtiy", "rule has no member severtiy"),
    (NETWORK, "virtualNetwork::appSubnet.id", "virtualNetwork::subnet.id", "unknown symbol virtualNetwork::subnet"),
]
PROPERTIES = [
    (MAIN, "output identityClientId string", "output identityClientId int", "int is wanted, string is given"),
    (APP, "httpsOnly: true", "httpOnly: true", "SiteProperties has no property httpOnly"),
    (APP, "httpsOnly: true", "httpsOnly: 'true'", "bool is wanted, 'true' is given"),
    (APP, "type: 'UserAssignedIdentity'", "type: 'UserIdentity'", "'UserIdentity' is given"),
    (APP, "instanceCount: 1", "instanceCount: '1'", "int is wanted, '1' is given"),
    (APP, "name: 'scm'", "name: 'smc'", "has no property"),
    (APP, "serverFarmId: plan.id", "serverFarmId: plan", "string is wanted"),
    (APP, "app.properties.defaultHostName", "app.properties.hostName", "app.properties has no member hostName"),
    (APP, "Microsoft.Web/sites@2024-11-01", "Microsoft.Web/sites@2022-03-01", "API version 2022-03-01"),
    (STORAGE, "allowSharedKeyAccess: false", "allowSharedKeyAccess: 0", "bool is wanted, int is given"),
    (STORAGE, "account.properties.primaryEndpoints.table", "account.properties.primaryEndpoints.tables", "has no member tables"),
    (STORAGE, "  kind: 'StorageV2'\n", "", "account: kind is missing"),
    (ROLES, "principalType: 'ServicePrincipal'\n", "principalKind: 'ServicePrincipal'\n", "has no property principalKind"),
    (ROLES, "    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', fhirDataContributor)\n", "", "roleDefinitionId is missing"),
    (ALERTS, "operator: 'LessThan'", "operator: 'Less'", "is given"),
    (ALERTS, "windowSize: rule.windowSize", "window: rule.windowSize", "has no property window"),
]
# fmt: on


@pytest.mark.parametrize(("path", "right", "wrong", "said"), NAMES)
def test_a_planted_fault_is_found(path, right, wrong, said):
    """A wrong symbol, function, parameter, output, parent; a list of keys."""
    assert said in _faults_with(path, right, wrong)


@pytest.mark.parametrize(("path", "right", "wrong", "said"), PROPERTIES)
def test_a_planted_fault_of_a_resource_is_found(path, right, wrong, said, schemas):
    """A wrong property, type, value, API version; a missing property."""
    assert said in _faults_with(path, right, wrong)


@named
def test_every_misspelt_key_is_found(path, schemas):
    """Each key of each resource and module in turn, but those of settings and workbook, which are data."""
    source, survivors = path.read_bytes(), []
    for key in _keys(syntax.read(path)):
        misspelt = source[: key.start_byte] + b"misspelt" + source[key.end_byte :]
        if not check(path, {path: misspelt.decode()}):
            survivors.append(f"{path.name}:{syntax.line_of(key)}: {syntax.text_of(key)}")
    assert survivors == []


def test_no_template_lists_keys_or_holds_a_secret():
    """Identities only: no call of list*, no account key, no Key Vault secret, no instrumentation key, no SAS."""
    secret = re.compile(
        r"\blist\w*\(|AccountKey|SharedAccessSignature|vaults/secrets|InstrumentationKey", re.IGNORECASE
    )
    assert [path.name for path in TEMPLATES if secret.search(path.read_text())] == []


def test_the_sample_gives_what_the_template_wants():
    """Each value fits a parameter, and none that is required is left out."""
    given = syntax.read_parameters(INFRA / "main.bicepparam")
    wanted = parameters(syntax.read(MAIN))
    assert not given.faults
    assert given.named("var").keys() <= wanted.keys()
    assert {name for name, field in wanted.items() if field.required} <= given.named("var").keys()
    settings = syntax.properties(given.named("var")["settings"].value)
    assert all(wanted["settings"].type.member(name) for name in settings)


def _faults_with(path, right, wrong):
    text = path.read_text()
    assert right in text
    return "\n".join(str(fault) for fault in check(path, {path: text.replace(right, wrong, 1)}))


def _keys(file):
    open_objects = ("features",)  # Log Analytics takes any feature
    declared = [one.node for one in file.declarations if one.kind in ("resource", "module")]
    for pair in (node for top in declared for node in syntax.walk(top) if node.type == "object_property"):
        above, parent = [], pair
        while parent := parent.parent:
            above.append(parent)
        data = any(one.type == "call_expression" and not syntax.text_of(one).startswith("map(") for one in above)
        held = any(one.type == "object_property" and syntax.key_of(one) in open_objects for one in above)
        if pair.named_children[0].type == "identifier" and not data and not held:
            yield pair.named_children[0]
