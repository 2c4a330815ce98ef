"""The app before a FHIR server with manners, three studies of two patients in it, and what FHIR holds of them."""

from uuid import uuid4

import requests

from local.failures import recorded_failures
from local.fhir_account import search
from shared.clients.azure.open_rows import TABLE as INDEX
from tests.integration.faults.world import World
from tests.integration.manners.manners import TAG_SYSTEM
from tests.integration.whole_feed import dose_file

STUDIES = (0, 1, 2)
EVENTS = 7
OBSERVATIONS = EVENTS + 1


class MannersWorld(World):
    """Studies 0 and 1 are of patient a, study 2 is of patient b; study 0 has a dose report."""

    def __init__(self, dicom, feed, fhir, storage, settings):
        super().__init__(dicom, feed, fhir, None, None, storage, f"{fhir.upstream}/fhir")
        self.settings |= {"DicomCast__Features__GenerateObservations": "true", **settings}
        self.patient_system = settings.get("Patient__PatientSystemId", "")
        self.report = f"2.25.{self.run}.0.9.1"
        self.build()

    def patient(self, letter):
        return f"Plantagenet-{self.run % 10**9}-{letter}"

    def study(self, number):
        return f"2.25.{self.run}.{number}"

    def store_all(self):
        for number, letter in zip(STUDIES, "aab", strict=True):
            self.store_study(number, letter)
        self.store_report()

    def store_study(self, number, letter, instances=2):
        files = [self.file(number, one, PatientID=self.patient(letter)) for one in range(1, instances + 1)]
        assert self.dicom.store(*files).status_code == 200

    def store_report(self, events=EVENTS):
        file = dose_file(self.report, self.study(0), self.patient("a"), events)
        assert self.dicom.store(file).status_code == 200

    def update(self, number, **tags):
        assert self.dicom.bulk_update(self.study(number), **tags).status_code == 202

    def delete(self, *uids):
        """A study, a series of it, an instance of that."""
        names = zip(("studies", "series", "instances"), uids, strict=False)
        assert self.dicom.delete("/v1" + "".join(f"/{name}/{uid}" for name, uid in names)).status_code == 204

    def read_again(self):
        """The whole feed from its beginning, by an app that has never seen it."""
        self.build({"TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}"})
        self.drain()

    def once_before(self, fits, act):
        """Does something as the first request that `fits` arrives; gives what tells whether it was done."""
        done = []

        def before(request):
            if not done and fits(request):
                done.append(request)
                act()

        self.fhir.before = before
        return done

    def held(self):
        """What FHIR holds of the run, by type."""
        found = {
            "Patient": [one for letter in "abc" for one in self.patients(letter)],
            "Endpoint": self.named("Endpoint", f"DICOM WADO-RS endpoint {self.feed.url}"),
            "ImagingStudy": [one for number in STUDIES for one in self.studies(number)],
            "Observation": self.identified("Observation", f"urn:dicom:uid|urn:oid:{self.report}"),
        }
        return {resource_type: resources for resource_type, resources in found.items() if resources}

    def counts(self):
        return {resource_type: len(resources) for resource_type, resources in self.held().items()}

    def versions(self):
        return sorted(
            (f"{one['resourceType']}/{one['id']}", one["meta"]["versionId"])
            for resources in self.held().values()
            for one in resources
        )

    def patients(self, letter):
        return self.identified("Patient", f"{self.patient_system}|{self.patient(letter)}")

    def studies(self, number):
        return self.identified("ImagingStudy", f"urn:dicom:uid|urn:oid:{self.study(number)}")

    def imaging_study(self, number):
        (study,) = self.studies(number)
        return study

    def identified(self, resource_type, identifier):
        return search(self.fhir_url, resource_type, identifier=identifier)

    def named(self, resource_type, name):
        return search(self.fhir_url, resource_type, **{"name:exact": name})

    def edit(self, resource, **elements):
        """Another system writes: the resource as it stands, with these elements; the server is asked directly."""
        url = f"{self.fhir_url}/{resource['resourceType']}/{resource['id']}"
        current = requests.get(url, timeout=30).json()
        requests.put(url, json=current | elements, timeout=30).raise_for_status()

    def failures(self):
        return recorded_failures(self.storage, self.prefix)

    def final(self):
        """What is recorded as not in FHIR: table, SOPInstanceUID, reason."""
        return [(row.table, row.sop_instance_uid, row.reason) for row in self.failures() if row.is_final]

    def open_rows(self):
        """What an operator has to look at, of any table of errors."""
        return [row for row in self.rows(but=[INDEX]) if "InstanceUid" in row and not row.get("ResolvedAt")]

    def all_well(self, **counts):
        """FHIR says what DICOM holds, in so many resources of the run, and nothing is recorded."""
        assert self.all_differences() == []
        assert self.counts() == counts
        for study in self.held().get("ImagingStudy", []):
            assert len(study["endpoint"]) == 1
            assert all(len(one.get("endpoint", ())) <= 1 for one in study.get("series", []))
        assert self.open_rows() == []

    def tagged(self, resource):
        tags = resource.get("meta", {}).get("tag", [])
        return {"system": TAG_SYSTEM, "code": self.feed.url} in [
            {name: one[name] for name in ("system", "code") if name in one} for one in tags
        ]


def writes(request, resource_type, *methods, uid=""):
    """Whether the request writes such a resource; `uid` must stand in it."""
    return any(
        entry["request"]["method"] in methods
        and entry["request"]["url"].startswith(resource_type)
        and uid in str(entry.get("resource", uid))
        for entry in request.writes
    )
