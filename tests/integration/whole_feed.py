"""The app on the real parts and one study in it, for tests of what the feed can tell of a study."""

from uuid import uuid4

import requests
from pydicom import Dataset

from local.compare import compare
from local.compare_rules import Rules
from local.failures import recorded_failures
from local.fhir_account import search
from shared import bootstrap
from shared.model.outcome import Outcome
from shared.settings.config import read_settings
from tests.dose_reports import ct, ct_event
from tests.integration.dicom_service_client import dicom_file, written


def dose_file(sop_instance_uid, study, patient, events=2):
    """A CT dose report in a series of its own of the study of `dicom_file`s, as a PS3.10 file.

    It has an accession number, which the others have not.
    """
    scans = [ct_event(number, event_uid=f"{sop_instance_uid}.{number}") for number in range(1, events + 1)]
    uids = {"SOPInstanceUID": sop_instance_uid, "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.9"}
    report = ct(*scans, PatientID=patient, StudyDate="20260131", StudyTime=None, **uids)
    return written(Dataset.from_json(report))


class World:
    """The app on parts of its own, and one study's name in it."""

    def __init__(self, dicom, fhir_url, storage, **settings):
        self.dicom, self.fhir_url, self.storage = dicom, fhir_url, storage
        self.study, self.patient = f"2.25.{uuid4().int >> 40}", f"P-{uuid4().hex[:12]}"
        self.settings = {
            "AzureWebJobsStorage": storage,
            "DicomWeb__Endpoint": dicom.url,
            "Fhir__Endpoint": fhir_url,
            "DicomCast__GapGracePeriod": "00:00:01",
            "DicomCast__StudySettle": "0",  # a study that grows is looked for in FHIR at once
            "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
        }
        self.build(**settings)

    def build(self, **more):
        self.settings |= more
        self.app = bootstrap.build(read_settings(self.settings))

    def file(self, number=1, **tags):
        uids = {
            "StudyInstanceUID": self.study,
            "SeriesInstanceUID": f"{self.study}.1",
            "SOPInstanceUID": f"{self.study}.1.{number}",
            "PatientID": self.patient,
            "Modality": "CT",
        }
        return dicom_file(**uids | tags)

    def report(self, sop_instance_uid):
        """The study's dose report, of two scans."""
        return dose_file(sop_instance_uid, self.study, self.patient)

    def synced(self):
        for _ in range(20):
            record = self.app.tick()
            if record.outcome is Outcome.IDLE and self.app.status().lag.entries == 0:
                return
        raise AssertionError("not synced after 20 ticks")

    def search(self, resource_type, query):
        return search(self.fhir_url, resource_type, identifier=query)

    def imaging_study(self, system="urn:dicom:uid"):
        (found,) = self.imaging_studies(system)
        return found

    def imaging_studies(self, system="urn:dicom:uid"):
        """The study's, of the data partition whose UIDs have this system."""
        found = self.search("ImagingStudy", f"{system}|urn:oid:{self.study}")
        return [one for one in found if one["identifier"][0]["system"] == system]

    def subject(self, study):
        return requests.get(f"{self.fhir_url}/{study['subject']['reference']}", timeout=30).json()

    def differences(self):
        """Between the world's study, in any partition, and FHIR."""
        told = compare(
            self.dicom.url,
            self.fhir_url,
            {row.sop_instance_uid for row in self.rows() if row.is_final},
            service_url=self.settings["DicomWeb__Endpoint"],
            rules=Rules.of(self.settings),
        )
        return [one for study in told if study.study_instance_uid == self.study for one in study.differences]

    def rows(self):
        return recorded_failures(self.storage, self.settings["TableStore__TableNamePrefix"])
