"""The settings that decide what the mapping makes of DICOM data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, timezone

from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.options import EndpointPayload, OrderLink, PatientUpdatePolicy

DICOM_UID_SYSTEM = "urn:dicom:uid"


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """What the mapping needs besides the DICOM data. `service_url`: the DICOM service's root URL.

    `uid_system`: the system of identifiers that are DICOM UIDs. `max_instances`: a study with more has its instances
    counted, not listed; 0: no limit. `accession_system`: the system of accession numbers without an issuer.
    `accession_issuers`: their systems by the issuer's local name. `issuer_systems`: the systems of PatientIDs by
    issuer; None: all have the same. `identifier_type`: of a Patient's identifier, a code of HL7's table 0203.
    `other_patient_ids`: whether a Patient also has the identifiers of OtherPatientIDsSequence. `snomed_body_site`:
    whether body sites have SNOMED CT codes, which not every country is licensed to use.
    `study_uid_in_partitions`: whether a study of a data partition has an identifier of `urn:dicom:uid`, too.
    `series_endpoint`: whether each series names the Endpoint. `endpoint_contact`: a URI. `viewer_url`: the address of
    a study in a viewer, with `{StudyInstanceUID}` in it; empty for data partitions. `coding_schemes`: systems of codes
    by the designators of the site's own coding schemes. `absent_performer`: whether Observations of a dose report that
    names nobody say so. `dose_text`: whether a report's doses are written as a text, too.
    """

    service_url: str
    uid_system: str = DICOM_UID_SYSTEM
    patient_system: str = ""
    use_issuer: bool = False
    default_offset: timezone = UTC
    enforce_validation: bool = False
    extended: bool = True
    patient_update_policy: PatientUpdatePolicy = PatientUpdatePolicy.OVERWRITE
    generate_observations: bool = False
    max_instances: int = 0
    accession_system: str = ""
    accession_issuers: Mapping[str, str] = field(default_factory=dict, hash=False)
    order_link: OrderLink = OrderLink.LINK
    issuer_systems: Mapping[str, str] | None = field(default=None, hash=False)
    identifier_type: str = ""
    other_patient_ids: bool = False
    snomed_body_site: bool = True
    study_uid_in_partitions: bool = True
    series_endpoint: bool = False
    endpoint_payload: EndpointPayload = EndpointPayload.TEXT
    endpoint_contact: str = ""
    viewer_url: str = ""
    coding_schemes: Mapping[str, str] = field(default_factory=dict, hash=False)
    absent_performer: bool = False
    dose_text: bool = False

    @property
    def links_orders(self) -> bool:
        """Whether studies are linked to the orders that they fulfil."""
        return self.extended and self.order_link != OrderLink.OFF

    def is_identity(self, keyword: str) -> bool:
        """Whether the tag is part of a patient's identity: if it is invalid, the PatientID cannot be used."""
        if keyword == "IssuerOfPatientID":
            return self.use_issuer or self.issuer_systems is not None
        return keyword == "IssuerOfPatientIDQualifiersSequence" and self.issuer_systems is not None

    def of_partition(self, name: str) -> "MappingOptions":
        """The options for a data partition, where a UID is another identity than the same UID elsewhere."""
        if name == DEFAULT_PARTITION:
            return self
        url = f"{self.service_url}/partitions/{name}"
        return replace(self, service_url=url, uid_system=url, viewer_url="")
