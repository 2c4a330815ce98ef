"""Values of settings that the mapping and the sync use."""

from enum import StrEnum

UID_IN_TEMPLATE = "{StudyInstanceUID}"
"""In the template of a viewer's URL: the UID of the study to show."""


class PatientUpdatePolicy(StrEnum):
    """What a sync may change on a Patient that the FHIR server already holds."""

    OVERWRITE = "overwrite"
    FILL = "fill"
    NEVER = "never"


class EndpointPayload(StrEnum):
    """What the DICOM service's Endpoint says of its payload besides the text: nothing, that it is any, or studies."""

    TEXT = "text"
    NONE = "none"
    STUDY = "study"


class OrderLink(StrEnum):
    """Whether a study is linked to the order that carries its accession number.

    `link-or-identifier`: if the server has no such order, the study names it by its number.
    """

    OFF = "off"
    LINK = "link"
    LINK_OR_IDENTIFIER = "link-or-identifier"


class BundleProcessing(StrEnum):
    """How Azure's FHIR service is to process the entries of a Bundle; `server`: by its own default."""

    SERVER = "server"
    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"
