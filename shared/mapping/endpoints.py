"""What settings add to Endpoints: the DICOM service's payload and contact, and the Endpoint of a viewer.

The viewer's Endpoint is contained in its ImagingStudy, since its address is for that study alone (IHE MADO), so it is
deleted together with the study.
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.mapping.converters import CONNECTION_TYPE_SYSTEM, MODALITY_SYSTEM
from shared.mapping.held import text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.study_identity import uid_of
from shared.model.fhir import Resource
from shared.model.options import UID_IN_TEMPLATE, EndpointPayload

_VIEWER = "dicom-cast-viewer"
_NO_PAYLOAD = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type", "code": "none"}]}
_STUDY = {"coding": [{"system": MODALITY_SYSTEM, "code": "113014", "display": "Study"}]}
_WADO = {"text": "DICOM WADO-RS"}
_PAYLOADS: Mapping[EndpointPayload, Mapping[str, Any]] = {
    EndpointPayload.TEXT: _WADO,
    EndpointPayload.NONE: {**_NO_PAYLOAD, **_WADO},
    EndpointPayload.STUDY: {**_STUDY, **_WADO},
}
_IID = {"system": CONNECTION_TYPE_SYSTEM, "code": "ihe-iid"}
_CONTACTS = {"mailto": "email", "tel": "phone"}


def payload_type(options: MappingOptions) -> list[dict[str, Any]]:
    """`none` is what IHE MADO demands, 113014 (DCM) what IHE IMR does."""
    return [dict(_PAYLOADS[options.endpoint_payload])]


def contact(options: MappingOptions) -> list[dict[str, str]]:
    """The contact of a URI: `mailto:`, `tel:`, or the address of a page."""
    scheme, _, rest = options.endpoint_contact.partition(":")
    if not rest:
        return []
    system = _CONTACTS.get(scheme)
    return [{"system": system, "value": rest} if system else {"system": "url", "value": options.endpoint_contact}]


def with_viewer(study: Resource, options: MappingOptions) -> Resource:
    """A study of ours with the viewer's Endpoint that the setting asks for; what others contained in it stays."""
    uid = uid_of(study, options)
    wanted = [_viewer(options, uid)] if options.extended and options.viewer_url and uid else []
    links = [{"reference": f"#{one['id']}"} for one in wanted]
    changed = {
        **study,
        "contained": _with_ours(study.get("contained", []), is_viewer, wanted),
        "endpoint": _with_ours(study.get("endpoint", []), is_viewer_link, links),
    }
    return study if study == (bare := {name: one for name, one in changed.items() if one != []}) else bare


def _with_ours(held: list[Resource], is_ours: Callable[[Resource], bool], wanted: list[Resource]) -> list[Resource]:
    """The items with ours as wanted; in the order in which others have put them, if ours are there already."""
    if list(filter(is_ours, held)) == wanted:
        return held
    return [one for one in held if not is_ours(one)] + wanted


def _viewer(options: MappingOptions, uid: str) -> Resource:
    is_iid = "requestType=STUDY" in options.viewer_url  # IHE RAD TF 2, 4.106 Invoke Image Display
    return {
        "resourceType": "Endpoint",
        "id": _VIEWER,
        "status": "active",
        "connectionType": _IID if is_iid else {"display": "web viewer"},
        "payloadType": [_NO_PAYLOAD],
        "payloadMimeType": ["text/html"],
        "address": options.viewer_url.replace(UID_IN_TEMPLATE, uid),
    }


def is_viewer(contained: Mapping[str, Any]) -> bool:
    """Whether the contained resource is the viewer's Endpoint, by its id within the study."""
    return contained.get("id") == _VIEWER


def is_viewer_link(link: Mapping[str, Any]) -> bool:
    """Whether the link leads to the viewer's Endpoint."""
    return text(link.get("reference")) == f"#{_VIEWER}"
