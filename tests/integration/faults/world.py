"""The app between fault-injecting proxies and the real parts, and what is to come out in the end."""

import re
from uuid import uuid4

import requests

from local.compare import compare
from local.failures import recorded_failures
from shared import bootstrap
from shared.config import read_settings
from tests.integration.dicom_service_client import dicom_file

PLANTED = ("Plantagenet", "19010203")
"""Patient data that must turn up nowhere but in FHIR."""


class World:
    """The app between proxies, and what is to come out."""

    def __init__(self, dicom, feed, fhir, tables, blobs, storage):
        self.dicom, self.feed, self.fhir, self.tables, self.blobs = dicom, feed, fhir, tables, blobs
        self.storage, self.prefix, self.run = storage, f"t{uuid4().hex[:8]}", uuid4().int >> 64
        through = re.sub(r"TableEndpoint=http://[^/]+", f"TableEndpoint={tables.url}", storage)
        through = re.sub(r"BlobEndpoint=http://[^/]+", f"BlobEndpoint={blobs.url}", through)
        self.settings = {
            "AzureWebJobsStorage": through,
            "DicomWeb__Endpoint": feed.url,
            "Fhir__Endpoint": fhir.url + "/fhir",
            "DicomCast__GapGracePeriod": "00:00:01",
            "TableStore__TableNamePrefix": self.prefix,
        }
        self.build()

    def build(self, more=()):
        """The app anew, with more settings."""
        settings = self.settings | dict(more)
        self.prefix = settings["TableStore__TableNamePrefix"]
        self.with_observations = settings.get("DicomCast__Features__GenerateObservations") == "true"
        self.app = bootstrap.build(read_settings(settings))

    def store(self, studies=3, instances=2, **tags):
        files = [self.file(study, number, **tags) for study in range(studies) for number in range(instances)]
        assert self.dicom.store(*files).status_code == 200

    def store_one(self, study, number, **tags):
        assert self.dicom.store(self.file(study, number, **tags)).status_code == 200

    def file(self, study, number, **tags):
        return dicom_file(
            **{
                "StudyInstanceUID": f"2.25.{self.run}.{study}",
                "SeriesInstanceUID": f"2.25.{self.run}.{study}.1",
                "SOPInstanceUID": f"2.25.{self.run}.{study}.1.{number}",
                "PatientID": f"Plantagenet-{self.run % 10**9}-{study}",
                "PatientName": "Plantagenet^Geoffrey",
                "PatientBirthDate": "19010203",
                "Modality": "CT",
                **tags,
            }
        )

    def drain(self):
        for _ in range(20):
            self.app.tick()
            status = self.app.status()
            if status.lag and status.lag.entries == 0 and not status.faults:
                return
        raise AssertionError("the feed is not drained after 20 ticks")

    def differences(self):
        """But for the instances that are recorded as failed."""
        failed = {one.sop_instance_uid for one in recorded_failures(self.storage, self.prefix) if one.is_final}
        return self._compared(failed)

    def all_differences(self):
        return self._compared(set())

    def _compared(self, failed):
        told = compare(
            self.dicom.url,
            f"{self.fhir.upstream}/fhir",
            failed,
            service_url=self.feed.url,
            with_observations=self.with_observations,
        )
        return [one for one in told if one.differences]

    def versions(self, studies=3):
        """The version numbers of the studies' ImagingStudy resources; exactly one resource each."""
        query = [{"identifier": f"urn:dicom:uid|urn:oid:2.25.{self.run}.{study}"} for study in range(studies)]
        bundles = [
            requests.get(f"{self.fhir.upstream}/fhir/ImagingStudy", params=one, timeout=30).json() for one in query
        ]
        return [one["resource"]["meta"]["versionId"] for bundle in bundles for one in bundle.get("entry", [])]
