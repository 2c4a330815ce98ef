"""Stores Microsoft's schemas of the resource types that infra/ uses: `python -m tests.infra.bicep.fetch`. No network.

Most come from msmcp-azure, which holds Bicep's own types (the latest version of each); what it does not answer for
comes from the models of Microsoft's management SDKs, written in the same form.
"""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import EnumMeta
from pathlib import Path
from typing import Any

from tests.infra.bicep import syntax
from tests.infra.bicep.check import declared_resources
from tests.infra.bicep.schema import SCHEMAS, stored

INFRA = Path(__file__).parents[3] / "infra"
SDKS = {
    "Microsoft.Insights/actionGroups": ("monitor", "ActionGroupResource", "_action_groups_operations"),
    "Microsoft.Insights/scheduledQueryRules": (
        "monitor",
        "ScheduledQueryRuleResource",
        "_scheduled_query_rules_operations",
    ),
    "Microsoft.Network/privateDnsZones": ("privatedns", "PrivateZone", "_private_zones_operations"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (
        "privatedns",
        "VirtualNetworkLink",
        "_virtual_network_links_operations",
    ),
}
_SIMPLE = {"str": "string", "bool": "bool", "int": "int", "float": "int", "duration": "string", "iso-8601": "string"}


def main() -> None:
    """Exits with 1 and a message where a type is unknown to both."""
    files = [syntax.read(path) for path in sorted(INFRA.rglob("*.bicep"))]
    wanted = sorted({kind for file in files for kind, _, _ in declared_resources(file)})
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    with _azmcp() as ask:
        for kind in wanted:
            document = _from_sdk(kind) if kind in SDKS else ask(kind)
            stored(kind).write_text(json.dumps(document))
    print(f"stored the schemas of {len(wanted)} resource types")


@contextmanager
def _azmcp() -> Iterator[Any]:
    """One process of msmcp-azure's MCP server over stdin and stdout: a start of the tool takes seconds, a question not."""
    command = [
        Path(sys.executable).with_name("azmcp"),
        "server",
        "start",
        "--namespace",
        "bicepschema",
        "--mode",
        "all",
    ]
    environment = os.environ | {"AZURE_MCP_COLLECT_TELEMETRY": "false"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment) as process:
        numbers = iter(range(1, 1000))

        def call(method: str, **parameters: Any) -> Any:
            number = next(numbers)
            said = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if answer.get("id") == number:
                    return answer["result"]
            sys.exit("azmcp ended before it answered")

        def ask(kind: str) -> list[dict[str, Any]]:
            answer = call("tools/call", name="bicepschema_get", arguments={"resource-type": kind})
            said = json.loads(answer["content"][0]["text"])
            if said["status"] != 200:
                sys.exit(f"{kind}: {said['message']}")
            return said["results"]["BicepSchemaResult"]

        client = {"name": "infra", "version": "1"}
        call("initialize", protocolVersion="2024-11-05", capabilities={}, clientInfo=client)
        yield ask
        process.stdin.close()


def _from_sdk(kind: str) -> list[dict[str, Any]]:
    """A resource's model and all that it is made of, as azmcp would write them."""
    package, model, operations = SDKS[kind]
    models = importlib.import_module(f"azure.mgmt.{package}.models")
    source = inspect.getsource(importlib.import_module(f"azure.mgmt.{package}.operations.{operations}"))
    (version,) = set(re.findall(r'"api-version", "([^"]+)"', source))
    objects: dict[str, dict[str, Any]] = {}
    body = _objects_of(models, getattr(models, model), objects)
    for one in body["properties"]:
        if one["name"] == "name":  # read-only in the models: ARM takes it from the URL, Bicep from here
            one["flags"] = "Required"
    return [{"$type": "Resource", "name": f"{kind}@{version}", "bodyType": body}, *objects.values()]


def _objects_of(models: Any, model: Any, objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    flattened: dict[str, Any] = {"$type": "Object", "name": f"{model.__name__}.properties", "properties": []}
    found: dict[str, Any] = {"$type": "Object", "name": model.__name__, "properties": []}
    objects |= {found["name"]: found}
    rules = {key: rule for one in reversed(model.__mro__) for key, rule in getattr(one, "_validation", {}).items()}
    hints = {key: hint.annotation for key, hint in inspect.signature(model.__init__).parameters.items()}
    for attribute, said in model._attribute_map.items():
        rule = rules.get(attribute, {})
        flags = "ReadOnly" if rule.get("readonly") else "Required" if rule.get("required") else ""
        *outer, name = said["key"].split(".")
        typed = _type_of(models, said["type"], str(hints.get(attribute, "")), objects)
        holder = flattened if outer else found
        holder["properties"].append({"name": name, "type": typed, "flags": flags})
    if flattened["properties"]:
        objects[flattened["name"]] = flattened
        found["properties"].append({"name": "properties", "type": flattened["name"]})
    return found


def _type_of(models: Any, said: str, hint: str, objects: dict[str, dict[str, Any]]) -> str:
    if said.startswith("["):
        return f"{_type_of(models, said[1:-1], hint, objects)}[]"
    if said.startswith("{"):
        objects["StringMap"] = {"name": "StringMap", "properties": [], "additionalPropertiesType": "string"}
        objects["StringMap"]["$type"] = "Object"
        return "StringMap"
    named = [getattr(models, name, None) for name in re.findall(r"_models\.(\w+)", hint)]
    values = [str(one.value) for enum in named if isinstance(enum, EnumMeta) for one in enum]
    if said == "str" and values:
        return " | ".join([*values, "string"])
    if said in _SIMPLE:
        return _SIMPLE[said]
    model = getattr(models, said, None)
    if model is None:
        return "any"
    if said not in objects:
        _objects_of(models, model, objects)
    return said


if __name__ == "__main__":
    main()
