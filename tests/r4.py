"""Whether a resource is FHIR R4: two independent validators, and what neither of them checks."""

import re

import fhirkit
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

# http://hl7.org/fhir/R4/valueset-*.html, as far as the app writes these elements.
CODES = {
    "Patient.gender": {"male", "female", "other", "unknown"},
    "Patient.name.use": {"usual", "official", "temp", "nickname", "anonymous", "old", "maiden"},
    "Endpoint.status": {"active", "suspended", "error", "off", "entered-in-error", "test"},
    "Observation.status": {
        "registered",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "cancelled",
        "entered-in-error",
        "unknown",
    },
    "ImagingStudy.status": {"registered", "available", "cancelled", "entered-in-error", "unknown"},
}
OID = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")  # datatypes.html#oid
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # datatypes.html#id
REFERENCE = re.compile(r"(urn:uuid:[0-9a-f-]{36}|[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})")


def faults(resource):
    """Everything that is wrong with it, by both validators and by our own walk."""
    found = [str(issue) for issue in fhirkit.validate(resource)]
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as error:
        found += [f"fhir.resources: {fault['loc']} {fault['type']}" for fault in error.errors()]
    contained = {f"#{one.get('id')}" for one in resource.get("contained", ())}
    told = _walk(resource["resourceType"], resource)
    return found + list(told) + [f"{one} is not contained" for one in _inner_references(resource) - contained]


def _inner_references(value):
    """Those that lead to what the resource contains."""
    if isinstance(value, list):
        return {one for item in value for one in _inner_references(item)}
    if not isinstance(value, dict):
        return set()
    own = {value["reference"]} if str(value.get("reference", "")).startswith("#") else set()
    return own | {one for item in value.values() for one in _inner_references(item)}


def _walk(path, value):
    if value in ({}, [], "") or value is None:
        yield f"{path} is empty"
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _walk(f"{path}.{name}", one)
    elif isinstance(value, list):
        for one in value:
            yield from _walk(path, one)
    elif isinstance(value, str):
        yield from _text(path, value)


def _text(path, value):
    if path in CODES and value not in CODES[path]:
        yield f"{path} is no code of its value set"
    if value.startswith("urn:oid:") and not (OID.fullmatch(value) and len(value) <= len("urn:oid:") + 64):
        yield f"{path} is no oid"
    if path.endswith(("series.uid", "instance.uid")) and not ID.fullmatch(value):
        yield f"{path} is no id"
    if path.endswith(".reference") and not value.startswith("#") and not REFERENCE.fullmatch(value):
        yield f"{path} is no reference inside the bundle or the server"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", value) or value != value.strip():
        yield f"{path} has control characters or blanks at its ends"
