"""What Endpoints say by settings, and the viewer's life within its study."""

import pytest

from shared.mapping.endpoints import with_viewer
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import map_endpoint
from shared.mapping.sign import is_only_ours
from shared.model.options import EndpointPayload
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeFhir, entry, ports
from tests.r4 import faults

URL = "https://dicom.example.org"
TEMPLATE = "https://viewer.example.org/?study={StudyInstanceUID}"
OPTIONS = MappingOptions(URL, viewer_url=TEMPLATE)
LINK = {"reference": "#dicom-cast-viewer"}
THEIRS = {"resourceType": "Practitioner", "id": "p"}


@pytest.mark.parametrize(
    ("payload", "codes"),
    [
        (EndpointPayload.TEXT, []),
        (EndpointPayload.NONE, ["none"]),
        (EndpointPayload.STUDY, ["113014"]),
    ],
)
def test_the_payload(payload, codes):
    """The text stands there whatever the code."""
    (said,) = map_endpoint(MappingOptions(URL, endpoint_payload=payload)).create["payloadType"]
    assert ([one["code"] for one in said.get("coding", [])], said["text"]) == (codes, "DICOM WADO-RS")


@pytest.mark.parametrize(
    ("contact", "said"),
    [
        ("", None),
        ("mailto:pacs@example.org", [{"system": "email", "value": "pacs@example.org"}]),
        ("tel:+49-30-1", [{"system": "phone", "value": "+49-30-1"}]),
        ("https://example.org/help", [{"system": "url", "value": "https://example.org/help"}]),
    ],
)
def test_the_contact(contact, said):
    """A ContactPoint of the kind that the URI is."""
    assert map_endpoint(MappingOptions(URL, endpoint_contact=contact)).create.get("contact") == said


def synced(fhir, *entries, options=OPTIONS):
    run_batch(ports(list(entries), fhir=fhir), BatchOptions(options, size=100))
    return [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]


def test_a_study_says_where_it_is_looked_at():
    """R4 all the same, and a second run writes nothing; another address is another, and none takes it out."""
    fhir = FakeFhir()
    (study,) = synced(fhir, entry(1))
    (viewer,) = study["contained"]
    assert viewer["address"] == "https://viewer.example.org/?study=1.2.3"
    assert study["endpoint"] == [{"reference": "Endpoint/1"}, LINK]
    assert "endpoint" not in study["series"][0]
    assert faults({name: one for name, one in study.items() if name not in ("id", "meta")}) == []
    sent = len(fhir.bundles)
    synced(fhir, entry(1))
    assert len(fhir.bundles) == sent
    another = MappingOptions(URL, viewer_url=TEMPLATE.replace("viewer", "v2"))
    (study,) = synced(fhir, entry(1), options=another)
    assert [one["address"] for one in study["contained"]] == ["https://v2.example.org/?study=1.2.3"]
    (study,) = synced(fhir, entry(1), options=MappingOptions(URL))
    assert ("contained" in study, study["endpoint"]) == (False, [{"reference": "Endpoint/1"}])


@pytest.mark.parametrize(
    "options", [OPTIONS.of_partition("north"), MappingOptions(URL, extended=False, viewer_url=TEMPLATE)]
)
def test_studies_without_a_viewer(options):
    """Of a data partition the template knows nothing; without the extended mapping nothing is written of it."""
    study = {"identifier": [{"system": options.uid_system, "value": "urn:oid:1.2.3"}]}
    assert with_viewer(study, options) is study


def test_the_order_that_others_have_put_it_in_stays():
    """It would be written again each time that they write theirs."""
    seen = with_viewer({"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2"}]}, OPTIONS)
    seen |= {"contained": [*seen["contained"], THEIRS], "endpoint": [LINK, {"reference": "Endpoint/7"}]}
    assert with_viewer(seen, OPTIONS) is seen


def test_an_image_display_is_told_as_such():
    """IHE's Invoke Image Display has a code."""
    options = MappingOptions(
        URL, viewer_url="https://v/IHEInvokeImageDisplay?requestType=STUDY&studyUID={StudyInstanceUID}"
    )
    study = with_viewer({"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2"}]}, options)
    assert study["contained"][0]["connectionType"]["code"] == "ihe-iid"


@pytest.mark.parametrize(("contained", "alone"), [([], True), ([THEIRS], False)], ids=["ours", "theirs"])
def test_the_viewer_is_no_reason_to_keep_a_study(contained, alone):
    """What others contained in it is, and stays."""
    study = {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
        "contained": contained,
        "endpoint": [{"reference": "Endpoint/1"}],
    }
    seen = with_viewer(study, OPTIONS)
    assert seen["contained"][:-1] == contained
    assert is_only_ours(seen, OPTIONS) is alone
    assert with_viewer(seen, MappingOptions(URL)).get("contained", []) == contained
