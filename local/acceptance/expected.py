"""Checks what FHIR has of the run's studies, patients and Endpoint, without the app's code."""

from collections import Counter
from collections.abc import Mapping

from local.acceptance.account import RunAccount
from local.acceptance.archive import Archive
from local.acceptance.ledger import Ledger
from local.acceptance.promises import BrokenError
from local.acceptance.server import FhirServer, Resource, reference_of
from local.compare import compare
from local.compare_rules import Rules
from local.failures import recorded_failures
from local.fhir_account import listed_instances

_UID_SYSTEM = "urn:dicom:uid"
_MAX_SHOWN = 5
_RULES = Rules(observations=True)
"""What the run's settings of the app ask for."""


class Expected:
    """The checks. Each raises BrokenError, with what it found, if FHIR does not have what it must.

    `storage`: connection string of the app's storage account. UIDs are DICOM UIDs without `urn:oid:`.
    """

    def __init__(self, storage: str, archive: Archive, server: FhirServer, ledger: Ledger) -> None:
        self._storage = storage
        self._archive = archive
        self._server = server
        self._ledger = ledger

    def study(self, uid: str) -> Resource:
        """The study's ImagingStudy. Raises BrokenError unless there is exactly one."""
        found = self._server.identified("ImagingStudy", _UID_SYSTEM, f"urn:oid:{uid}")
        if len(found) != 1:
            raise BrokenError(f"{len(found)} ImagingStudy resources of study {uid}, and not one")
        return found[0]

    def reference(self, uid: str) -> str:
        """`ImagingStudy/id` of the study."""
        return f"ImagingStudy/{self.study(uid)['id']}"

    def subject(self, uid: str) -> str:
        """`Patient/id` of the study's subject."""
        return _subject(self.study(uid))

    def no_study(self, uid: str) -> None:
        """Checks that FHIR has no ImagingStudy of the study."""
        if found := self._server.identified("ImagingStudy", _UID_SYSTEM, f"urn:oid:{uid}"):
            found_as = f"ImagingStudy/{found[0].get('id')} of status {found[0].get('status')}"
            raise BrokenError(f"the study is in FHIR, and not in DICOM: {found_as}")

    def as_in_dicom(self, uid: str) -> str:
        """Checks that the ImagingStudy lists the instances that DICOM holds. Returns how many, in words."""
        held = {(_value(one, "0020000E"), _value(one, "00080018")) for one in self._archive.instances(uid)}
        in_fhir = listed_instances(self.study(uid))
        if in_fhir != held:
            raise BrokenError(
                f"study {uid}: {len(held - in_fhir)} instances are missing, {len(in_fhir - held)} are not in DICOM"
            )
        return f"{len(held)} instances in {len({series for series, _ in held})} series"

    def observations(self, report: str, count: int) -> None:
        """Checks how many Observations FHIR has of the dose report."""
        found = self._observations(report)
        if len(found) != count:
            raise BrokenError(f"{len(found)} Observations of the dose report, and not {count}")

    def subjects_of_observations(self, report: str) -> set[str]:
        """`Patient/id` of the subjects of the dose report's Observations."""
        return {_subject(one) for one in self._observations(report)}

    def is_patient(self, reference: str, patient_id: str) -> None:
        """Checks that the Patient has the PatientID as an identifier."""
        identifiers = (self._server.read(reference) or {}).get("identifier", [])
        if (self._ledger.system, patient_id) not in [(one.get("system"), one.get("value")) for one in identifiers]:
            raise BrokenError(f"{reference} does not have the new PatientID")

    def all_as_in_dicom(self) -> str:
        """Compares all studies of the run, as the demo does. Returns how many were compared, in words."""
        held = {uid: self._archive.instances(uid) for uid in self._ledger.studies}
        uids = {_value(one, tag) for some in held.values() for one in some for tag in ("0020000D", "00080018")}
        account = RunAccount(self._server.url, server=self._server, ledger=self._ledger, in_dicom=uids)
        studies = compare(self._archive.url, account, (), service_url=self._ledger.service_url, rules=_RULES)
        different = [
            f"study {one.study_instance_uid}: {'; '.join(one.differences)}" for one in studies if one.differences
        ]
        if different:
            more = f" and {len(different) - _MAX_SHOWN} others" if len(different) > _MAX_SHOWN else ""
            raise BrokenError(f"{' | '.join(different[:_MAX_SHOWN])}{more}")
        return f"{len(studies)} studies, {sum(map(len, held.values()))} instances compared"

    def no_doubles(self) -> str:
        """Checks that each PatientID has one Patient at most, each study one ImagingStudy, the service one Endpoint.

        Returns how many there are, in words.
        """
        of = {"Patient": (self._ledger.system, "", self._ledger.patients)}
        of |= {"ImagingStudy": (_UID_SYSTEM, "urn:oid:", self._ledger.studies)}
        doubled, there = [], Counter[str]()
        for resource_type, (system, start, names) in of.items():
            for name in names:
                found = len(self._server.identified(resource_type, system, start + name))
                there[resource_type] += bool(found)
                if found > 1:
                    doubled.append(f"{found} {resource_type} resources of one identifier")
        if (endpoints := len(self.endpoints())) != 1:
            doubled.append(f"{endpoints} Endpoints")
        if doubled:
            raise BrokenError("; ".join(sorted(set(doubled))))
        return f"{there['Patient']} Patients, {there['ImagingStudy']} ImagingStudies, one Endpoint"

    def no_failures(self) -> str:
        """Checks that the error tables have no entry that the app has given up. Returns that in words."""
        final = [one for one in recorded_failures(self._storage) if one.is_final]
        if final:
            tables = ", ".join(f"{count} in {table}" for table, count in Counter(one.table for one in final).items())
            raise BrokenError(f"{tables}; the first: {final[0].reason}")
        return "the tables of final failures are empty"

    def endpoints(self) -> list[Resource]:
        """The Endpoints of the run's DICOM service, by the name that docs/mapping.md gives them."""
        return self._server.search("Endpoint", {"name": f"DICOM WADO-RS endpoint {self._ledger.service_url}"})

    def note_what_is_there(self) -> None:
        """Adds to the ledger the resources whose ids the server did not give when they were created."""
        found = [self._server.identified("ImagingStudy", _UID_SYSTEM, f"urn:oid:{uid}") for uid in self._ledger.studies]
        found += [self._server.identified("Patient", self._ledger.system, one) for one in self._ledger.patients]
        found += [self._observations(uid) for uid in self._ledger.reports]
        found += [self.endpoints(), self._server.search("Endpoint", {"identifier": f"{self._ledger.system}|"})]
        self._ledger.was_made(f"{one['resourceType']}/{one['id']}" for some in found for one in some)

    def _observations(self, report: str) -> list[Resource]:
        return self._server.identified("Observation", _UID_SYSTEM, f"urn:oid:{report}")


def _subject(resource: Resource) -> str:
    reference = reference_of(resource.get("subject", {}).get("reference", ""))
    if reference is None:
        raise BrokenError(f"{resource['resourceType']}/{resource['id']} has no subject")
    return reference


def _value(instance: Mapping[str, Mapping[str, list[str]]], tag: str) -> str:
    return instance.get(tag, {}).get("Value", [""])[0]
