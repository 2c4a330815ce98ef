"""What the user's FHIR server says of the run's studies, for the comparison with DICOM."""

from collections.abc import Collection
from dataclasses import dataclass

from local.acceptance.ledger import Ledger
from local.acceptance.server import FhirServer
from local.fhir_account import FhirAccount, Partition, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount(FhirAccount):
    """Asked with the app's own identity, by names that only the run has: the server may hold millions of others.

    `in_dicom`: the UIDs that the DICOM service holds of the ledger's; the others must be gone. One account is one
    moment: what was read of a subject or a Patient is not read again.
    """

    server: FhirServer
    ledger: Ledger
    in_dicom: Collection[str]

    def identified(self, resource_type: str, partition: Partition, uid: str) -> list[Resource]:
        """What a search for the UID finds."""
        return list(self.server.identified(resource_type, partition.system, f"urn:oid:{uid}"))

    def made_for(self, partition: Partition, resource_type: str) -> list[Resource]:
        """What there is of studies and reports that DICOM no longer holds."""
        uids = self.ledger.studies if resource_type == "ImagingStudy" else self.ledger.reports
        gone = [uid for uid in uids if uid not in self.in_dicom]
        return [one for uid in gone for one in self.identified(resource_type, partition, uid)]

    def read(self, reference: str) -> Resource | None:
        """The resource; None where there is none."""
        return self.server.read(reference)

    def find_patients(self, token: str) -> list[Resource]:
        """Those that a search for the identifier finds."""
        return list(self.server.search("Patient", {"identifier": token}))
