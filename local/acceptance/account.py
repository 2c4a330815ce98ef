"""Reads the run's studies from the user's FHIR server, for the comparison with DICOM."""

from collections.abc import Collection
from dataclasses import dataclass

from local.acceptance.ledger import Ledger
from local.acceptance.server import FhirServer
from local.fhir_account import FhirAccount, Partition, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount(FhirAccount):
    """Reads with the app's own identity, and searches only for the run's own names: the server may hold millions more.

    `in_dicom`: which UIDs of the ledger the DICOM service holds; FHIR must have nothing of the others. Make a new
    account for each comparison, since the Patients that it has read are kept.
    """

    server: FhirServer
    ledger: Ledger
    in_dicom: Collection[str]

    def identified(self, resource_type: str, partition: Partition, uid: str) -> list[Resource]:
        """The resources that have the DICOM UID as an identifier of the partition."""
        return list(self.server.identified(resource_type, partition.system, f"urn:oid:{uid}"))

    def made_for(self, partition: Partition, resource_type: str) -> list[Resource]:
        """The resources of the run's studies and dose reports that DICOM no longer holds; there should be none."""
        uids = self.ledger.studies if resource_type == "ImagingStudy" else self.ledger.reports
        gone = [uid for uid in uids if uid not in self.in_dicom]
        return [one for uid in gone for one in self.identified(resource_type, partition, uid)]

    def read(self, reference: str) -> Resource | None:
        """The resource; None if it does not exist."""
        return self.server.read(reference)

    def find_patients(self, token: str) -> list[Resource]:
        """The Patients that have the identifier."""
        return list(self.server.search("Patient", {"identifier": token}))
