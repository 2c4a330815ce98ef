"""Mapping and merge of the reference: the specification's rows and no more, one instance at a time, nothing validated."""

from typing import Any

Json = dict[str, Any]
_GENDERS = {"M": "male", "F": "female", "O": "other"}
_ACCESSION = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
_MODALITIES = "http://dicom.nema.org/resources/ontology/DCM"
WADO_RS = {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"}


def merge_instance(study: Json | None, wanted: Json) -> Json:
    """`wanted` holds one series with one instance."""
    if study is None:
        return wanted
    (series,) = wanted["series"]
    merged = {**study, **{name: value for name, value in wanted.items() if name not in ("series", "meta", "modality")}}
    merged["modality"] = study["modality"] + [one for one in wanted["modality"] if one not in study["modality"]]
    known = next((one for one in study["series"] if one["uid"] == series["uid"]), None)
    if known is None:
        return {**merged, "series": [*study["series"], series]}
    (instance,) = series["instance"]
    others = [one for one in known["instance"] if one["uid"] != instance["uid"]]
    if len(others) < len(known["instance"]):
        instances = [instance if one["uid"] == instance["uid"] else one for one in known["instance"]]
    else:
        instances = [*others, instance]
    together = {**known, **series, "instance": instances}
    return {**merged, "series": [together if one is known else one for one in study["series"]]}


def merge_removal(study: Json | None, entry: Json) -> Json | None:
    """An empty series goes with its last instance."""
    if study is None:
        return None
    series = [
        {**one, "instance": [i for i in one["instance"] if i["uid"] != entry["SopInstanceUid"]]}
        if one["uid"] == entry["SeriesInstanceUid"]
        else one
        for one in study["series"]
    ]
    kept = [one for one in series if one["instance"]]
    modality = [one for one in study["modality"] if one in [other["modality"] for other in kept]]
    return {**study, "series": kept, "modality": modality}


def mapped_study(metadata: Json, url: str, patient: Json, endpoint: Json) -> Json:
    modality = {"system": _MODALITIES, "code": value_of(metadata, "00080060")}
    instance = {
        "uid": value_of(metadata, "00080018"),
        "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{value_of(metadata, '00080016')}"},
        "number": value_of(metadata, "00200013"),
    }
    series = {
        "uid": value_of(metadata, "0020000E"),
        "number": value_of(metadata, "00200011"),
        "modality": modality,
        "description": value_of(metadata, "0008103E"),
        "started": _mapped_time(metadata, "00080021", "00080031"),
        "instance": [_said(instance)],
    }
    accession, description = value_of(metadata, "00080050"), value_of(metadata, "00081030")
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{value_of(metadata, '0020000D')}"}
    study = {
        "resourceType": "ImagingStudy",
        "meta": {"source": url},
        "identifier": [identifier] + ([{"type": _ACCESSION, "value": accession}] if accession else []),
        "status": "available",
        "modality": [modality],
        "subject": patient,
        "started": _mapped_time(metadata, "00080020", "00080030"),
        "endpoint": [endpoint],
        "note": [{"text": description}] if description else None,
        "series": [_said(series)],
    }
    return _said(study)


def mapped_patient(metadata: Json) -> Json:
    family, given = ([*str((value_of(metadata, "00100010") or {}).get("Alphabetic", "")).split("^"), ""])[:2]
    name = {"use": "usual", "family": family, "given": given.split()}
    birth = value_of(metadata, "00100030")
    patient = {
        "resourceType": "Patient",
        "identifier": [{"value": value_of(metadata, "00100020")}],
        "name": [{part: value for part, value in name.items() if value}],
        "gender": _GENDERS.get(str(value_of(metadata, "00100040"))),
        "birthDate": f"{birth[:4]}-{birth[4:6]}-{birth[6:]}" if birth else None,
    }
    return _said(patient)


def mapped_endpoint(name: str, url: str) -> Json:
    return {
        "resourceType": "Endpoint",
        "status": "active",
        "name": name,
        "connectionType": WADO_RS,
        "payloadType": [{"text": "DICOM WADO-RS"}],
        "payloadMimeType": ["application/dicom"],
        "address": url,
    }


def _mapped_time(metadata: Json, date_tag: str, time_tag: str) -> str | None:
    date, time = value_of(metadata, date_tag), value_of(metadata, time_tag)
    if not date:
        return None
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if not time or len(time) < 4:
        return day
    whole, _, fraction = time.partition(".")
    clock = f"{whole[:2]}:{whole[2:4]}:{whole[4:6] or '00'}{'.' + fraction[:3].ljust(3, '0') if fraction else ''}"
    offset = value_of(metadata, "00080201") or "+0000"
    return f"{day}T{clock}{offset[:3]}:{offset[3:]}"


def _said(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if value is not None}


def value_of(metadata: Json, tag: str) -> Any:
    """The first value, None where it is absent or empty."""
    value = (metadata.get(tag, {}).get("Value") or [None])[0]
    return (value.strip(" \0") or None) if isinstance(value, str) else value
