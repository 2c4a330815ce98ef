"""Studies and their orders on a FHIR server: before and after one another, two of one number, another patient's."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
import requests

from local.fhir_account import search
from shared import bootstrap
from shared.model.watermark import Watermark
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import dicom_file

ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


class Hospital:
    """A patient, a study of theirs, and orders with its accession number; nobody else has any of it."""

    def __init__(self, dicom, fhir_url, storage):
        self.dicom, self.fhir_url = dicom, fhir_url
        root = uuid4().hex
        self.study, self.number, self.patient_id = f"2.25.{int(root[:20], 16)}.1", root[:16], f"P-{root[:12]}"
        self.settings = {
            "AzureWebJobsStorage": storage,
            "DicomWeb__Endpoint": dicom.url,
            "Fhir__Endpoint": fhir_url,
            "DicomCast__GapGracePeriod": "00:00:02",
            "DicomCast__StudySettle": "0",
            "TableStore__TableNamePrefix": f"t{root[:8]}",
        }
        self.app = bootstrap.build(read_settings(self.settings))
        self.app.ports.order_searches.next_look = self.app.ports.now() + timedelta(hours=1)

    def made(self, **resource):
        """Its reference; HAPI names the new resource in the Location, and so do the others."""
        url = f"{self.fhir_url}/{resource['resourceType']}"
        answer = requests.post(url, json=resource, headers={"Content-Type": "application/fhir+json"}, timeout=30)
        assert answer.status_code == 201, answer.text
        return f"{resource['resourceType']}/{answer.json()['id']}"

    def patient(self, patient_id=None):
        return self.made(resourceType="Patient", identifier=[{"value": patient_id or self.patient_id}])

    def order(self, subject, **said):
        identifier = [{"type": ACSN, "value": self.number}]
        about = {"status": "active", "intent": "order", "subject": {"reference": subject}, "identifier": identifier}
        return self.made(resourceType="ServiceRequest", **about, **said)

    def arrives(self, number=1):
        uids = {"StudyInstanceUID": self.study, "SeriesInstanceUID": f"{self.study}.1"}
        tags = {"SOPInstanceUID": f"{self.study}.1.{number}", "PatientID": self.patient_id, "Modality": "CT"}
        assert self.dicom.store(dicom_file(**uids, **tags, AccessionNumber=self.number)).status_code == 200
        self.app.tick()

    def an_hour_later(self):
        """The look at late orders that would be made then; a day of them is a look for each hour of it."""
        searches = self.app.ports.order_searches
        searches.next_look = None
        searches.looked_through = self.app.ports.now() - timedelta(minutes=30)
        self.app.tick()

    def replayed(self):
        """The whole feed again."""
        stored = self.app.ports.watermarks.read()
        self.app.ports.watermarks.write(replace(stored, watermark=Watermark(), read_through=Watermark(), holes=()))
        self.app.tick()

    @property
    def held(self):
        (found,) = search(self.fhir_url, "ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{self.study}")
        return found

    @property
    def linked(self):
        return [one["reference"] for one in self.held.get("basedOn", [])]

    def rows(self):
        found = self.app.ports.errors.open_errors().newest  # studies of other tests are on these servers too
        return [row.exception for row in found if row.study_instance_uid == self.study]

    def ensure_nothing_is_written_again(self):
        before = self.held["meta"]["versionId"]
        self.replayed()
        self.an_hour_later()
        assert self.held["meta"]["versionId"] == before


@pytest.fixture
def hospital(dicom, fhir_url, storage):
    return Hospital(dicom, fhir_url, storage)


def test_an_order_before_its_study(hospital):
    """Linked at once, with its encounter."""
    patient = hospital.patient()
    about = {"status": "finished", "class": {"code": "AMB"}, "subject": {"reference": patient}}
    encounter = hospital.made(resourceType="Encounter", **about)
    order = hospital.order(patient, encounter={"reference": encounter})
    hospital.arrives()
    assert hospital.linked == [order]
    assert hospital.held["encounter"] == {"reference": encounter}
    hospital.ensure_nothing_is_written_again()


def test_an_order_after_its_study(hospital):
    """Linked within the hour; what another system links beside it stays."""
    hospital.arrives()
    assert hospital.linked == []
    order = hospital.order(hospital.held["subject"]["reference"])
    hospital.an_hour_later()
    assert hospital.linked == [order]
    hospital.ensure_nothing_is_written_again()
    theirs = hospital.order(hospital.held["subject"]["reference"], priority="stat")
    study = hospital.held
    study["basedOn"].append({"reference": theirs})
    url = f"{hospital.fhir_url}/ImagingStudy/{study['id']}"
    requests.put(url, json=study, headers={"Content-Type": "application/fhir+json"}, timeout=30).raise_for_status()
    hospital.an_hour_later()
    assert (hospital.linked, hospital.rows()) == ([theirs], ["SeveralOrders"])


def test_two_orders_of_one_number(hospital):
    """No link, and a row; once one is in error the other is linked, and the row is closed."""
    patient = hospital.patient()
    first, second = hospital.order(patient), hospital.order(patient)
    hospital.arrives()
    assert (hospital.linked, hospital.rows()) == ([], ["SeveralOrders"])
    hospital.ensure_nothing_is_written_again()
    url = f"{hospital.fhir_url}/{second}"
    wrong = requests.get(url, timeout=30).json() | {"status": "entered-in-error"}
    requests.put(url, json=wrong, headers={"Content-Type": "application/fhir+json"}, timeout=30).raise_for_status()
    hospital.an_hour_later()
    assert (hospital.linked, hospital.rows()) == ([first], [])


def test_an_order_of_another_patient(hospital):
    """No link, and a row."""
    hospital.patient()
    hospital.order(hospital.patient(f"{hospital.patient_id}-other"))
    hospital.arrives()
    assert (hospital.linked, hospital.rows()) == ([], ["OrderOfAnotherPatient"])
    hospital.ensure_nothing_is_written_again()


def test_the_self_check_says_whether_orders_are_found(hospital):
    """And whether they are to be."""
    steps = {step.name: step for step in hospital.app.check().steps}
    assert steps["FHIR server: orders"].message == "ServiceRequest can be searched: studies are linked to their orders"
    off = bootstrap.build(read_settings(hospital.settings | {"DicomCast__OrderLink": "off"}))
    steps = {step.name: step for step in off.check().steps}
    assert steps["FHIR server: orders"].state == "skipped"
