"""What the app writes, judged by HL7's own validator: HAPI FHIR's `$validate`."""

import json

import pytest
import requests

from shared.clients.json_body import json_bytes
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import FakeFhir, ports
from tests.unit import test_real_dose_reports as dose
from tests.unit.test_golden import CASES
from tests.unit.test_real_files import FILES, OPTIONS, REFUSED, entry_of_file

pytestmark = pytest.mark.not_on("local", "medplum", reason="they have no $validate")
SYNCED = [path for path in FILES if path.name not in REFUSED]
REPORTS = [path for path in dose.FILES if path.name not in dose.NOT_OF_DOSES]


DCM = "http://dicom.nema.org/resources/ontology/DCM"
SINCE_R4 = {f"Unknown code '{DCM}#{code}'" for code in ("DOC",)}
"""Modalities of PS3.16 CID 29 that R4's own copy of DICOM's code system has not, and says that it is complete."""


def issues(fhir_url, resource, profile=None):
    """What the validator says of the resource, an OperationOutcome's issues."""
    url = f"{fhir_url}/{resource['resourceType']}/$validate" + (f"?profile={profile}" if profile else "")
    headers = {"Content-Type": "application/fhir+json"}
    answer = requests.post(url, data=json_bytes(resource), headers=headers, timeout=120).json()
    assert answer["resourceType"] == "OperationOutcome"
    return answer["issue"]


def errors(fhir_url, resources):
    """Each with where it is."""
    return [
        (resource["resourceType"], issue.get("location"), issue.get("diagnostics"))
        for resource in resources
        for issue in issues(fhir_url, resource)
        if issue["severity"] in ("error", "fatal") and issue.get("diagnostics") not in SINCE_R4
    ]


def written_for(path):
    """The resources that a file becomes on an empty FHIR server, but for the Endpoint, which is the same for all."""
    fhir = FakeFhir()
    StudySync(ports(fhir=fhir), OPTIONS).run_all([Study([entry_of_file(path)])])
    return [one["resource"] for bundle in fhir.bundles for one in bundle["entry"]]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_golden_case(fhir_url, case):
    """What its transactions create and update has no error."""
    bundles = json.loads((case / "bundle.json").read_text())
    resources = [one["resource"] for bundle in bundles for one in bundle["entry"] if "resource" in one]
    assert errors(fhir_url, resources) == []


@pytest.mark.parametrize("path", SYNCED, ids=lambda path: path.name)
def test_a_real_file(fhir_url, path):
    """Patient and ImagingStudy have no error."""
    resources = written_for(path)
    assert len(resources) >= 2
    assert errors(fhir_url, resources) == []


@pytest.mark.skipif(not REPORTS, reason="no dose reports here: `make test-servers` fetches the packages with them")
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_a_real_dose_report(fhir_url, path):
    """Its Observations have no error; of many events of one kind some stand for the others."""
    assert errors(fhir_url, dose.observations_of(path)[:4]) == []


def test_an_error_is_seen(fhir_url):
    """The tests above could fail: an element that is missing, a code that its system has not."""
    modality = {"system": DCM, "code": "NONE"}
    study = {"resourceType": "ImagingStudy", "status": "available", "modality": [modality]}
    told = " ".join(diagnostics for _, _, diagnostics in errors(fhir_url, [study]))
    assert "ImagingStudy.subject: minimum required = 1" in told
    assert f"Unknown code '{DCM}#NONE'" in told
