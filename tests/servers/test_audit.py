"""A round of the audit on FHIR servers as they are: searched by sign, by date and by what has no date."""

from uuid import uuid4

import pytest
import requests

from shared import bootstrap
from shared.model.audit import DifferenceQuery, Kind, RoundRequest, RoundState
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import dicom_file

DAYS = [*[f"202405{day:02}" for day in range(1, 11)], "19991231", None]
JSON = {"Content-Type": "application/fhir+json", "Cache-Control": "no-cache"}


class Audited:
    """A deployment of its own with a study on each of the days, and one without a day, in sync."""

    def __init__(self, dicom, fhir_url, storage):
        self.dicom, self.fhir_url, self.root = dicom, fhir_url, f"2.25.{uuid4().int >> 40}"
        self.url = f"https://{uuid4().hex}.example.org"
        self.app = bootstrap.build(read_settings({
            "AzureWebJobsStorage": storage,
            "DicomWeb__Endpoint": self.url,
            "DicomWeb__PrivateEndpoint": dicom.url,
            "Fhir__Endpoint": fhir_url,
            "DicomCast__GapGracePeriod": "00:00:01",
            "DicomCast__Audit": "heal",
            "DicomCast__AuditDeleteAfter": "00:00:00",
            "DicomCast__AuditRequestsPerHour": "10000000",
            "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
        }))  # fmt: skip
        files = [self.file(number, i, StudyDate=day) for number, day in enumerate(DAYS) for i in (1, 2)]
        assert dicom.store(*files).status_code == 200
        self.app.tick()

    def uid(self, number):
        return f"{self.root}.{number}"

    def file(self, number, instance, **tags):
        uid = self.uid(number)
        uids = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1", "SOPInstanceUID": f"{uid}.1.{instance}"}
        return dicom_file(**uids, PatientID=f"P-{uid}", Modality="CT", StudyTime="233000", **tags)

    def held(self, number):
        query = {"identifier": f"urn:dicom:uid|urn:oid:{self.uid(number)}"}
        found = requests.get(f"{self.fhir_url}/ImagingStudy", params=query, headers=JSON, timeout=30).json()
        return next((one["resource"] for one in found.get("entry", [])), None)

    def send(self, method, study, **changed):
        url = f"{self.fhir_url}/ImagingStudy/{study['id']}"
        requests.request(method, url, json={**study, **changed}, headers=JSON, timeout=30).raise_for_status()

    def round(self):
        """Once it has ended."""
        assert self.app.start_round(RoundRequest())
        for _ in range(20):
            assert self.app.tick().error is None
            state = self.app.audit(DifferenceQuery())
            if not state.rounds[0].is_under_way:
                return state
        raise AssertionError(state.rounds[0])


@pytest.mark.timeout(120)
def test_drift_is_found_on_each_side_and_healed(dicom, fhir_url, storage):
    """Each study is compared once; what is told as unknown is so, and nothing else is."""
    world = Audited(dicom, fhir_url, storage)
    state = world.round()
    assert (state.rounds[0].state, state.rounds[0].counts.compared) == (RoundState.DONE, len(DAYS))
    assert (state.rounds[0].counts.differed, state.differences) == (0, [])
    world.send("DELETE", world.held(1))
    edited = world.held(2)
    (series,) = edited["series"]
    world.send("PUT", edited, series=[{**series, "instance": series["instance"][1:]}])
    world.send("PUT", world.held(3), subject=world.held(4)["subject"])
    gone = {5: world.held(5), 11: world.held(11)}
    for number in gone:
        requests.delete(f"{dicom.url}/v2/studies/{world.uid(number)}", timeout=30).raise_for_status()
    world.app.tick()
    assert [world.held(number) for number in gone] == [None, None]
    for number, study in gone.items():
        meta = {
            name: value
            for name, value in study["meta"].items()
            if name == "tag" or (name, value) == ("source", world.url)
        }
        again = {name: value for name, value in study.items() if name != "id"} | {"meta": meta}
        requests.post(f"{fhir_url}/ImagingStudy", json=again, headers=JSON, timeout=30).raise_for_status()
        assert world.held(number)
    state = world.round()
    counts, unknown = state.rounds[0].counts, state.rounds[0].unknown
    found = {row.study_instance_uid: row.kind for _, row in state.differences}
    assert (found, unknown) == ({world.uid(number): Kind.GONE for number in gone}, ())
    assert counts.healed == 3
    assert [len(world.held(number)["series"][0]["instance"]) for number in (1, 2, 3)] == [2, 2, 2]
    again = world.round().rounds[0]
    assert (again.counts.healed, again.state, again.deletes_waiting) == (0, RoundState.STOPPED, len(found))
