"""The original's algorithm, written from its specification (DICOM Cast overview, "Architecture" and "Mappings").

Per change feed entry, in order: search the Patient, the Endpoint and the ImagingStudy by identifier, merge the one
instance, POST what changed as a transaction. It shares no code with the app: mapping and merge are its own, the smallest
that make an equal ImagingStudy (without the app's extended rows). Nothing is validated, no error is handled, no state
is stored after an entry: all that makes it quicker than the original. Keep-alive connections, as the original's
HttpClient has, through urllib3, which costs less CPU per call than the app's `requests`.
"""

import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import urllib3

from tests.bench.reference_mapping import (
    WADO_RS,
    Json,
    mapped_endpoint,
    mapped_patient,
    mapped_study,
    merge_instance,
    merge_removal,
    value_of,
)

PAGE = 100
_PATIENT, _ENDPOINT, _STUDY = "urn:uuid:patient", "urn:uuid:endpoint", "urn:uuid:study"
_FHIR_JSON = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}


class Reference:
    """Syncs entry by entry."""

    def __init__(self, dicom_url: str, fhir_url: str) -> None:
        self._dicom, self._fhir = dicom_url, fhir_url
        self._http = urllib3.PoolManager()

    def feed(self, after: int, through: int) -> Iterator[Json]:
        """The entries of (after, through], in windows of 100; the original's default is 10."""
        for offset in range(after, through, PAGE):
            query = urlencode({"offset": offset, "limit": min(PAGE, through - offset), "includeMetadata": "true"})
            yield from json.loads(self._http.request("GET", f"{self._dicom}/v1/changefeed?{query}").data)

    def sync(self, entries: Iterator[Json]) -> int:
        """How many they were."""
        done = 0
        for entry in entries:
            self._sync([entry])
            done += 1
        return done

    def jump(self, entries: Iterator[Json]) -> None:
        """Writes in one go what syncing entry by entry comes to; to measure from a point further in."""
        studies: dict[str, list[Json]] = {}
        for entry in entries:
            studies.setdefault(entry["StudyInstanceUid"], []).append(entry)
        for group in studies.values():
            self._sync(group)

    def _sync(self, group: list[Json]) -> None:
        """All entries of the group, which are of one study; the original has one in each."""
        metadata = next((entry["Metadata"] for entry in reversed(group) if "Metadata" in entry), None)
        study = self._found("ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{group[0]['StudyInstanceUid']}")
        writes = []
        patient, endpoint = study and study["subject"], study and study["endpoint"][0]
        if metadata:
            patient = self._link(
                writes, _PATIENT, mapped_patient(metadata), identifier=f"|{value_of(metadata, '00100020')}"
            )
            name, connection = f"DICOM WADO-RS endpoint {self._dicom}", f"{WADO_RS['system']}|{WADO_RS['code']}"
            said = {"name:exact": name, "connection-type": connection}
            endpoint = self._link(writes, _ENDPOINT, mapped_endpoint(name, self._dicom), **said)
        merged = study
        for entry in group:
            if entry["Action"] == "delete":
                merged = merge_removal(merged, entry)
            elif "Metadata" in entry:
                merged = merge_instance(merged, mapped_study(entry["Metadata"], self._dicom, patient, endpoint))
        if merged != study:
            query = f"identifier={quote('urn:dicom:uid|urn:oid:' + group[0]['StudyInstanceUid'], safe='')}"
            writes.append(_write(_STUDY, study, merged, query))
        if writes:
            self._post(writes)

    def _link(self, writes: list[Json], name: str, wanted: Json, **query: str) -> Json:
        held = self._found(wanted["resourceType"], **query)
        merged = wanted if held is None else {**held, **wanted}
        if merged != held:
            writes.append(_write(name, held, merged, urlencode(query)))
        return {"reference": f"{held['resourceType']}/{held['id']}" if held else name}

    def _found(self, resource_type: str, **query: str) -> Json | None:
        answer = self._http.request("GET", f"{self._fhir}/{resource_type}?{urlencode(query)}", headers=_FHIR_JSON)
        entries = self._json(answer).get("entry", [])
        assert len(entries) <= 1
        return entries[0]["resource"] if entries else None

    def _post(self, writes: list[Json]) -> None:
        body = _bundle(writes)
        answer = self._json(self._http.request("POST", self._fhir, body=body, headers=_FHIR_JSON))
        assert all(entry["response"]["status"].startswith("2") for entry in answer["entry"])

    def _json(self, answer: urllib3.BaseHTTPResponse) -> Json:
        assert answer.status == 200, answer.data[:500]
        return json.loads(answer.data)


def _bundle(writes: list[Json]) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": writes}).encode()


def _write(name: str, held: Json | None, merged: Json, query: str) -> Json:
    if held is None:
        request = {"method": "POST", "url": merged["resourceType"], "ifNoneExist": query}
        return {"fullUrl": name, "resource": merged, "request": request}
    request = {"url": f"{held['resourceType']}/{held['id']}", "ifMatch": f'W/"{held["meta"]["versionId"]}"'}
    if not merged.get("series", True):
        return {"request": {"method": "DELETE", **request}}
    return {"resource": merged, "request": {"method": "PUT", **request}}
