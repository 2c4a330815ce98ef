"""The app between fault-injecting proxies and the real parts, and what is to come out in the end."""

import json
import re
import time
from urllib.parse import urlsplit
from uuid import uuid4

from azure.data.tables import TableServiceClient

from local.compare import compare
from local.compare_rules import Rules
from local.failures import recorded_failures
from local.fhir_account import search
from shared import bootstrap
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import dicom_file
from tests.integration.fhir_versions import times_written

PLANTED = ("Plantagenet", "19010203")
"""Patient data that must turn up nowhere but in FHIR."""


class World:
    """The app between proxies, and what is to come out."""

    def __init__(self, dicom, feed, fhir, tables, blobs, storage, fhir_url):
        """Without proxies before `tables` and `blobs` (None) storage is asked directly."""
        self.dicom, self.feed, self.fhir, self.tables, self.blobs = dicom, feed, fhir, tables, blobs
        self.fhir_url = fhir_url  # without the proxy
        self.storage, self.prefix, self.run = storage, f"t{uuid4().hex[:8]}", uuid4().int >> 64
        through = storage
        for service, proxy in (("Table", tables), ("Blob", blobs)):
            if proxy is not None:
                through = re.sub(rf"{service}Endpoint=http://[^/]+", f"{service}Endpoint={proxy.url}", through)
        self.settings = {
            "AzureWebJobsStorage": through,
            "DicomWeb__Endpoint": feed.url,
            "Fhir__Endpoint": fhir.url + urlsplit(fhir_url).path,
            "DicomCast__GapGracePeriod": "00:00:01",
            "DicomCast__StudySettle": "0",  # a study that grows is looked for in FHIR at once
            "TableStore__TableNamePrefix": self.prefix,
        }
        self.build()

    def build(self, more=()):
        """The app anew, with more settings."""
        settings = self.settings | dict(more)
        self.prefix = settings["TableStore__TableNamePrefix"]
        self.rules = Rules.of(settings)
        self.app = bootstrap.build(read_settings(settings))

    def other_host(self):
        """An app of the same deployment that no proxy stands before, but for the change feed's, whose URL is in FHIR."""
        direct = {"AzureWebJobsStorage": self.storage, "Fhir__Endpoint": self.fhir_url}
        return bootstrap.build(read_settings(self.settings | direct))

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

    def search_one_by_one(self):
        """As with a FHIR server that takes no batches."""
        self.fhir.takes = lambda body: not body.startswith(b"{") or json.loads(body).get("type") != "batch"

    def tick(self):
        """One tick, after which the watermark must not be ahead of what is done."""
        record = self.app.tick()
        assert self.passed_but_not_done() == []
        return record

    def drain(self):
        for _ in range(20):
            self.tick()
            status = self.app.status()
            # Slow is not down: HAPI's CapabilityStatement has 1.8 MB, and a busy machine takes its time for that.
            down = [one for one in status.faults if "no answer within" not in one]
            if status.lag and status.lag.entries == 0 and not down:
                return
            time.sleep(1 if status.carried else 0)  # what is carried rests for up to 16 s after four tries
        raise AssertionError("the feed is not drained after 20 ticks")

    def passed_but_not_done(self):
        """Sequences up to the watermark whose instance the archive has, but neither FHIR nor a final row."""
        passed = max((row["SyncedSequence"].value for row in self.rows() if "SyncedSequence" in row), default=0)
        final = [one for one in recorded_failures(self.storage, self.prefix) if one.is_final]
        recorded, done = {one.sequence for one in final}, {one.sop_instance_uid for one in final}
        entries = self.dicom.feed("v1", offset=0, limit=100, includeMetadata="false")
        for study in self._studies({one["StudyInstanceUid"] for one in entries}):
            done |= {one["uid"] for series in study.get("series", []) for one in series.get("instance", [])}
        there = [one for one in entries if one["Sequence"] <= passed and one["State"].lower() != "deleted"]
        return [
            one["Sequence"] for one in there if one["SopInstanceUid"] not in done and one["Sequence"] not in recorded
        ]

    def rows(self, but=()):
        """All that the app keeps in tables, but for some of these."""
        with TableServiceClient.from_connection_string(self.storage) as service:
            ours = {"first": self.prefix, "last": f"{self.prefix}~"}
            names = [
                table.name
                for table in service.query_tables("TableName ge @first and TableName lt @last", parameters=ours)
            ]
            told = [name for name in names if name.removeprefix(self.prefix) not in but]
            return [row for name in told for row in service.get_table_client(name).list_entities()]

    def delete_tables(self, names):
        """As somebody may who does not know what they are for."""
        with TableServiceClient.from_connection_string(self.storage) as service:
            for name in names:
                service.delete_table(self.prefix + name)

    def differences(self):
        """But for the instances that are recorded as failed."""
        failed = {one.sop_instance_uid for one in recorded_failures(self.storage, self.prefix) if one.is_final}
        return self._compared(failed)

    def all_differences(self):
        return self._compared(set())

    def _compared(self, failed):
        told = compare(
            self.dicom.url,
            self.fhir_url,
            failed,
            service_url=self.feed.url,
            rules=self.rules,
        )
        return [one for one in told if one.differences]

    def versions(self, studies=3):
        """How often each study's ImagingStudy was written; exactly one resource each."""
        uids = [f"2.25.{self.run}.{study}" for study in range(studies)]
        return [times_written(self.fhir_url, one) for one in self._studies(uids)]

    def _studies(self, uids):
        """Their ImagingStudy resources."""
        names = ",".join(f"urn:dicom:uid|urn:oid:{uid}" for uid in uids)
        return search(self.fhir_url, "ImagingStudy", identifier=names) if names else []
