"""The mapping: the specification's three tables as data, one row a line.

`required`: an entry without this tag (the first, if the row has several) is not synced. `how`: what is done with what
the FHIR server already holds:

    CREATE   written when we create the resource, never changed after
    SET      follows DICOM
    FILL     written only if FHIR has no value yet; what others wrote stays
    ADD      added to the list, unless it is there; what others wrote stays
    RESTATE  as ADD; an item that the app wrote, and that says a part of this one, or names another system, is replaced
    AGREE    an element of a series, read from each instance of it: written as long as all instances say the same
    LINK     a reference to a resource that is looked up; ours is removed if it leads nowhere, what others wrote stays
    DERIVE   computed each time from the resource's series and instances, or from the report, so that it is always true

An element that no converter can make of tags alone has `to.MadeBy`, which names the function of shared/mapping.
"""
# ruff: noqa: E501  one row per line, aligned: the table is read beside the specification's
# fmt: off

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache

from shared.mapping import accession, body_site, endpoints, patient_id, procedures, series_and_instances, study_identity
from shared.mapping import converters as to
from shared.mapping.dicom_json import Tag
from shared.mapping.dose import observation as dose


class How(StrEnum):
    """How an element is merged with what the FHIR server already holds."""

    CREATE = "create"
    SET = "set"
    FILL = "fill"
    ADD = "add"
    RESTATE = "restate"
    AGREE = "agree"
    LINK = "link"
    DERIVE = "derive"


CREATE, SET, FILL, ADD, RESTATE = How.CREATE, How.SET, How.FILL, How.ADD, How.RESTATE
AGREE, LINK, DERIVE = How.AGREE, How.LINK, How.DERIVE
YES, NO = True, False


INSTANCE_SCOPE = "ImagingStudy.series.instance"
SCOPES = (INSTANCE_SCOPE, "ImagingStudy.series", "ImagingStudy", "Observation", "Endpoint", "Patient")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the path in FHIR, the tags it is made from, whether it is required, its converter, how it is merged.

    `scope`: the resource or backbone element of the path, such as `Patient`. `element`: its part, such as `identifier`.
    `ours`: the specification does not have the row.
    """

    path: str
    scope: str
    element: str
    tags: tuple[Tag, ...]
    required: bool
    convert: to.Converter
    how: How
    note: str
    ours: bool
    is_added: bool = field(init=False)
    """Whether it adds items to a list."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_added", self.how in (How.ADD, How.RESTATE))

    @property
    def read_of(self) -> str:
        """The scope whose tags it is made from: an element on which instances must agree is read from each instance."""
        return INSTANCE_SCOPE if self.how is How.AGREE else self.scope

    @property
    def keys(self) -> tuple[str, ...]:
        """The tags' keys in DICOM JSON, such as `00100020`."""
        return tuple(tag.key for tag in self.tags)


def _row(path: str, tags: str, required: bool, convert: to.Converter, how: How, note: str = "") -> Row:
    scope = next(scope for scope in SCOPES if path.startswith(f"{scope}."))
    element = path.removeprefix(f"{scope}.").split(".")[0]
    parsed = tuple(Tag.of(tag) for tag in tags.split(" + ") if tag)
    return Row(path, scope, element, parsed, required, convert, how, note, ours=False)


def _our(path: str, tags: str, required: bool, convert: to.Converter, how: How, note: str = "") -> Row:
    """A row that the specification does not have; `DicomCast__Features__ExtendedMapping` turns it off."""
    return replace(_row(path, tags, required, convert, how, note), ours=True)


PATIENT_ID  = "(0010,0020) PatientID + (0010,0021) IssuerOfPatientID + (0010,0024) IssuerOfPatientIDQualifiersSequence"
ACCESSION   = "(0008,0050) AccessionNumber + (0008,0051) IssuerOfAccessionNumberSequence"
ORDERS      = f"{ACCESSION} + (0040,0275) RequestAttributesSequence"
SCHEMES     = "(0008,0110) CodingSchemeIdentificationSequence"
BODY_SITE   = f"(0018,0015) BodyPartExamined + (0008,2218) AnatomicRegionSequence + {SCHEMES}"
STUDY_DATE  = "(0008,0020) StudyDate + (0008,0030) StudyTime + (0008,0201) TimezoneOffsetFromUTC"
SERIES_DATE = "(0008,0021) SeriesDate + (0008,0031) SeriesTime + (0008,0201) TimezoneOffsetFromUTC"
CONTENT_DATE = "(0008,0023) ContentDate + (0008,0033) ContentTime + (0008,0201) TimezoneOffsetFromUTC"
DEVICE      = "(0008,0070) Manufacturer + (0008,1090) ManufacturerModelName + (0008,1010) StationName"
INSTANCE    = "(0020,000E) SeriesInstanceUID + (0020,000D) StudyInstanceUID + (0008,0018) SOPInstanceUID"
REASONS     = f"(0040,100A) ReasonForRequestedProcedureCodeSequence + (0040,0275) RequestAttributesSequence + (0040,1002) ReasonForTheRequestedProcedure + {SCHEMES}"
PROCEDURES  = f"(0008,1032) ProcedureCodeSequence + (0032,1064) RequestedProcedureCodeSequence + (0032,1060) RequestedProcedureDescription + (0040,0260) PerformedProtocolCodeSequence + {SCHEMES}"

TABLE: tuple[Row, ...] = (
    #    FHIR path                                            (gggg,eeee) Keyword                required converter              how     note
    _row("Patient.meta.tag",                                  "",                                NO,  to.tag,                  CREATE, "`urn:dicom-cast:source` and the root URL of the DICOM service: shows that we made the resource"),
    _row("Patient.identifier.where(system = '')",             PATIENT_ID,                        YES, patient_id.patient_identifier, ADD, "`Patient__PatientSystemId` as system, or the issuer with `Patient__IsIssuerIdUsed` or `Patient__IssuerSystems`; type by `Patient__IdentifierType`"),
    _our("Patient.identifier.where(use = 'secondary')",       f"(0010,1002) OtherPatientIDsSequence + {PATIENT_ID}", NO, patient_id.other_identifiers, ADD, "with `Patient__OtherPatientIds`, those with a known system; a Patient is never found by it"),
    _row("Patient.name.where(use = 'usual')",                 "(0010,0010) PatientName",         NO,  to.patient_name,         SET,    "one HumanName per component group, with its script in iso21090-EN-representation"),
    _row("Patient.gender",                                    "(0010,0040) PatientSex",          NO,  to.gender,               SET,    "M, F, O; anything else is an invalid tag"),
    _row("Patient.birthDate",                                 "(0010,0030) PatientBirthDate",    NO,  to.birth_date,           FILL,   ""),

    _row("Endpoint.meta.tag",                                 "",                                NO,  to.tag,                  CREATE, "as Patient.meta.tag"),
    _row("Endpoint.identifier",                               "",                                NO,  to.endpoint_identifier,  CREATE, "`urn:dicom-cast:source` and the root URL of the DICOM service: the condition of its create"),
    _row("Endpoint.status",                                   "",                                NO,  to.constant("active"),   CREATE, "`active`"),
    _row("Endpoint.name",                                     "",                                NO,  to.endpoint_name,        CREATE, "`DICOM WADO-RS endpoint <url>`; found by it and the connection type; for a data partition `<url>/partitions/<name>`"),
    _row("Endpoint.connectionType",                           "",                                NO,  to.constant({"system": to.CONNECTION_TYPE_SYSTEM, "code": "dicom-wado-rs"}), CREATE, "`dicom-wado-rs`"),
    _row("Endpoint.payloadType",                              "",                                NO,  endpoints.payload_type,   CREATE, "text `DICOM WADO-RS`; with `DicomCast__EndpointPayload` a code too"),
    _row("Endpoint.payloadMimeType",                          "",                                NO,  to.constant(["application/dicom"]),        CREATE, "`application/dicom`"),
    _row("Endpoint.address",                                  "",                                NO,  to.service_url,          CREATE, "root URL of the DICOM service; another address under our name is an error"),
    _our("Endpoint.contact",                                  "",                                NO,  endpoints.contact,       CREATE, "`DicomCast__EndpointContact`"),

    _row("ImagingStudy.identifier.where(system = 'urn:dicom:uid')", "(0020,000D) StudyInstanceUID", YES, study_identity.study_identifier, ADD, "value `urn:oid:<uid>`; in a data partition the system is its URL"),
    _row("ImagingStudy.identifier.where(type.coding.code = 'ACSN')", ACCESSION, NO, accession.accession_identifier, RESTATE, "type `v2-0203|ACSN`; system and assigner are the issuer's, else `DicomCast__AccessionSystem`, else none"),
    _row("ImagingStudy.meta.source",                          "",                                NO,  to.source,               CREATE, "root URL of the DICOM service: shows that we made the resource"),
    _row("ImagingStudy.meta.tag",                             "",                                NO,  to.tag,                  CREATE, "as Patient.meta.tag: shows that we made the resource if a server drops `meta.source`"),
    _row("ImagingStudy.extension.where(url = 'urn:dicom-cast:last-applied')", "",                    NO,  to.MadeBy("last_applied.with_record"), DERIVE, "hashes of the values that we wrote, which we may remove again"),
    _row("ImagingStudy.status",                               "",                                NO,  to.constant("available"), CREATE, "`available`"),
    _row("ImagingStudy.modality",                             "(0008,0060) Modality",            NO,  to.MadeBy("merge_study.derived_study"), DERIVE, "the distinct modalities of the series"),
    _row("ImagingStudy.subject",                              PATIENT_ID,                        YES, patient_id.patient_link, SET,    "the Patient above"),
    _row("ImagingStudy.started",                              STUDY_DATE,                        NO,  to.started,              SET,    "only the date if there is no time; milliseconds are kept"),
    _row("ImagingStudy.endpoint",                             "",                                NO,  to.endpoint_link,        ADD,    "the Endpoint above"),
    _row("ImagingStudy.note",                                 "(0008,1030) StudyDescription",    NO,  to.annotation,           ADD,    "unless a note says the same"),

    _our("ImagingStudy.identifier.type",                      "(0020,000D) StudyInstanceUID",    NO,  study_identity.study_identifiers, CREATE, "DCM 110180; in a data partition on one of `urn:dicom:uid` besides; `DicomCast__Features__StudyUidInPartitions`"),
    _our("ImagingStudy.description",                          "(0008,1030) StudyDescription",    NO,  to.plain,                SET,    "besides the note"),
    _our("ImagingStudy.referrer",                             "(0008,0090) ReferringPhysicianName", NO, to.as_display,         FILL,   "display only: no Practitioner is made; another's stays"),
    _our("ImagingStudy.procedureCode",                        PROCEDURES, NO, procedures.procedures, RESTATE, "the first of these that has a value; a description as text"),
    _our("ImagingStudy.reasonCode",                           REASONS,                           NO,  procedures.reasons, RESTATE, "also those of the requests that the study fulfils; a text only if no code says the same"),
    _our("ImagingStudy.basedOn",                              ORDERS,                            NO,  accession.orders,         LINK,   "the ServiceRequest that carries the accession number, or each request's; `DicomCast__OrderLink`"),
    _our("ImagingStudy.contained",                            "",                                NO,  to.MadeBy("endpoints.with_viewer"), DERIVE, "an Endpoint of the viewer, which ImagingStudy.endpoint names; `DicomCast__ViewerUrl`"),
    _our("ImagingStudy.encounter",                            "",                                NO,  to.MadeBy("orders.with_orders"), DERIVE, "that of the ServiceRequest above, if FHIR has none"),
    _our("ImagingStudy.numberOfSeries",                       "",                                NO,  to.MadeBy("merge_study.derived_study"), DERIVE, "counted"),
    _our("ImagingStudy.numberOfInstances",                    "",                                NO,  to.MadeBy("merge_study.derived_study"), DERIVE, "counted"),

    _row("ImagingStudy.series.uid",                           "(0020,000E) SeriesInstanceUID",   YES, to.plain,                SET,    ""),
    _row("ImagingStudy.series.number",                        "(0020,0011) SeriesNumber",        NO,  to.number,               SET,    ""),
    _row("ImagingStudy.series.modality",                      "(0008,0060) Modality",            YES, to.modality,             SET,    ""),
    _row("ImagingStudy.series.description",                   "(0008,103E) SeriesDescription",   NO,  to.plain,                SET,    ""),
    _row("ImagingStudy.series.started",                       SERIES_DATE,                       NO,  to.started,              SET,    "as ImagingStudy.started"),

    _our("ImagingStudy.series.bodySite",                      BODY_SITE,                         NO,  body_site.body_site,     SET,    "the region's code; else SNOMED CT's of the term (PS3.16 L), with the term as display; `DicomCast__Features__SnomedBodySite`"),
    _our("ImagingStudy.series.laterality",                    "(0020,0060) Laterality",          NO,  to.laterality,           SET,    "R, L as SNOMED CT"),
    _our("ImagingStudy.series.laterality",                    "(0020,0062) ImageLaterality",     NO,  to.image_laterality,     AGREE,  "if no instance has Laterality: R, L, B as SNOMED CT, as long as each instance says the same; nothing for U"),
    _our("ImagingStudy.series.performer",                     "(0008,1050) PerformingPhysicianName + (0008,1070) OperatorsName", NO, series_and_instances.performers, RESTATE, "display only; function `PRF`, of operators `SPRF`"),
    _our("ImagingStudy.series.endpoint",                      "",                                NO,  to.MadeBy("series_endpoint.with_series_endpoints"), DERIVE, "the Endpoint above, if the study names others too, or with `DicomCast__Features__SeriesEndpoint`"),
    _our("ImagingStudy.series.numberOfInstances",             "",                                NO,  to.MadeBy("merge_study.derived_study"), DERIVE, "counted"),

    _row("ImagingStudy.series.instance.uid",                  "(0008,0018) SOPInstanceUID",      YES, to.plain,                SET,    ""),
    _row("ImagingStudy.series.instance.sopClass",             "(0008,0016) SOPClassUID",         YES, to.sop_class,            SET,    "code `urn:oid:<uid>`"),
    _row("ImagingStudy.series.instance.number",               "(0020,0013) InstanceNumber",      NO,  to.number,               SET,    ""),
    _our("ImagingStudy.series.instance.title",                "(0040,A043) ConceptNameCodeSequence + (0042,0010) DocumentTitle", NO, series_and_instances.title, SET, "an encapsulated document's title; else what a structured report, or a selection of key objects, is called"),

    _row("Observation.identifier.where(type.coding.code = 'sop-instance-uid')", "(0008,0018) SOPInstanceUID", YES, dose.report_identifier, ADD, "system `urn:dicom:uid`, value `urn:oid:<uid>`; on the events' Observations too, besides their `irradiation-event-uid`"),
    _row("Observation.identifier.where(type.coding.code = 'ACSN')", ACCESSION, NO, accession.accession_identifier, ADD,   "on the summary, as ImagingStudy's"),
    _row("Observation.meta.source",                           "",                                NO,  to.source,               CREATE, "root URL of the DICOM service: shows that we made the resource"),
    _row("Observation.identifier.where(system = 'urn:dicom-cast:source')", INSTANCE,                 YES, dose.own_identifiers,    CREATE, "a UUID made from these and the event's UID: the condition of its create, and shows whose it is"),
    _row("Observation.meta.tag",                              "",                                NO,  to.tag,                  CREATE, "as Patient.meta.tag"),
    _row("Observation.status",                                "(0040,A493) VerificationFlag + (0040,A491) CompletionFlag", NO, dose.status, SET, "`final` if VERIFIED or COMPLETE, else `preliminary`; what others amended or withdrew stays so"),
    _row("Observation.category",                              "",                                NO,  to.constant([dose.CATEGORY]), ADD, "`imaging`"),
    _row("Observation.code",                                  "",                                NO,  to.constant(dose.SUMMARY_CODE), SET, "LOINC 73569-6 for the summary, DCM 113852 for an irradiation event"),
    _row("Observation.subject",                               PATIENT_ID,                        YES, patient_id.patient_link, SET,    "the Patient above"),
    _row("Observation.partOf",                                "(0020,000D) StudyInstanceUID",    YES, dose.study_link,         ADD,    "the ImagingStudy above"),
    _row("Observation.derivedFrom",                           "(0020,000D) StudyInstanceUID",    YES, dose.study_link,         ADD,    "the ImagingStudy above"),
    _row("Observation.effectiveDateTime",                     STUDY_DATE,                        NO,  to.started,              DERIVE, "the report's start of irradiation or its first event's, else the study's start; for an event its own, else the day"),
    _row("Observation.issued",                                CONTENT_DATE,                      NO,  dose.issued,             DERIVE, "only with a time"),
    _row("Observation.device",                                DEVICE,                            NO,  dose.device,             FILL,   "display only: no Device is made; the report's Device Observer before the tags"),
    _our("Observation.performer",                             "",                                NO,  to.MadeBy("dose.observation.performers"), FILL, "display only: the report's Person Observer; `DicomCast__Features__AbsentPerformer`"),
    _our("Observation.valueString",                           "",                                NO,  to.MadeBy("dose.value_string.dose_text"), FILL, "on the summary, with `DicomCast__Features__DoseText`: its components in one text"),
    _row("Observation.bodySite",                              "",                                NO,  to.MadeBy("dose.mapped_report.map_dose_report"), DERIVE, "on an event: Target Region"),
    _row("Observation.component",                             "",                                NO,  to.MadeBy("dose.report.DoseReport.components"), DERIVE, "the report's dose values, by the table of docs/mapping.md; components of others stay"),
)
# fmt: on


def rows_of(scope: str) -> tuple[Row, ...]:
    """The rows of one scope, in the table's order."""
    return tuple(row for row in TABLE if row.scope == scope)


def rows_read_of(scope: str) -> tuple[Row, ...]:
    """The rows that are made from one scope's tags: its own in the table's order, then those of a wider scope."""
    rows = [row for row in TABLE if row.read_of == scope]
    return tuple(sorted(rows, key=lambda row: row.scope != scope))


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one scope, by how they are merged, in the table's order. `restate`: those of `add` that are."""

    set: tuple[str, ...]
    fill: tuple[str, ...]
    add: tuple[str, ...]
    restate: tuple[str, ...]
    agree: tuple[str, ...]


@cache
def elements_of(scope: str) -> Elements:
    """The elements of a resource or backbone element of the table."""

    def of(*hows: How) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.element for row in rows_of(scope) if row.how in hows))

    return Elements(of(SET), of(FILL), of(ADD, RESTATE), of(RESTATE), of(AGREE))
