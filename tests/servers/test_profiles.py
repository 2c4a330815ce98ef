"""What the app writes, held against HL7's International Patient Summary 2.0 by HAPI's `$validate?profile=`.

`make check-profiles` fetches the package, and says by PROFILES where its files are; without it nothing is tested.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_report
from shared.mapping.mapping_options import MappingOptions
from tests.servers.test_validate import SINCE_R4, issues
from tests.unit.test_dose_golden import CASES as REPORTS
from tests.unit.test_golden import CASES

FOLDER = os.environ.get("PROFILES", "")
pytestmark = [
    pytest.mark.not_on("local", "medplum", reason="they have no $validate"),
    pytest.mark.skipif(not FOLDER, reason="no profiles here: `make check-profiles` fetches them"),
]
IPS = "http://hl7.org/fhir/uv/ips/StructureDefinition"
PROFILES = {
    "ImagingStudy": f"{IPS}/ImagingStudy-uv-ips",
    "Patient": f"{IPS}/Patient-uv-ips",
    "Observation": f"{IPS}/Observation-results-radiology-uv-ips",
}
KNOWN = {
    # what the profile demands and the source may not say: written as it is, and told in docs/profiles.md
    "Patient.birthDate: minimum required = 1",
    "Patient.name: minimum required = 1",
    # IPS names R4's own Endpoint with its version, by which HAPI does not find it: of a contained one it wants to know
    "Unable to resolve the profile reference 'http://hl7.org/fhir/StructureDefinition/Endpoint|4.0.1'",
    "Invalid Resource target type. Found Endpoint, but expected one of ([])",
}
OPTIONS = MappingOptions("https://dicom.example.org")
ASKED = replace(OPTIONS, absent_performer=True, dose_text=True)


@pytest.fixture(scope="module", autouse=True)
def loaded(fhir_url):
    """The profiles, and the value sets that they name."""
    for path in sorted(Path(FOLDER).glob("[SV]*-*.json")):
        resource = json.loads(path.read_text(encoding="utf-8"))
        if resource["resourceType"] in ("StructureDefinition", "ValueSet") and resource.get("kind") != "logical":
            url = f"{fhir_url}/{resource['resourceType']}/{resource['id']}"
            answer = requests.put(url, json=resource, timeout=120)
            assert answer.ok, (path.name, answer.text[:500])


def errors(fhir_url, resource):
    found = issues(fhir_url, resource, PROFILES[resource["resourceType"]])
    told = [one.get("diagnostics", "") for one in found if one["severity"] in ("error", "fatal")]
    return sorted({one for one in told if one not in SINCE_R4 and not any(known in one for known in KNOWN)})


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_golden_case(fhir_url, case):
    """Patients and ImagingStudies; dose Observations below."""
    bundles = json.loads((case / "bundle.json").read_text())
    resources = [one["resource"] for bundle in bundles for one in bundle["entry"] if "resource" in one]
    asked = [one for one in resources if one["resourceType"] in ("ImagingStudy", "Patient")]
    assert [errors(fhir_url, one) for one in asked] == [[]] * len(asked)


@pytest.mark.parametrize("case", REPORTS)
def test_a_dose_report(fhir_url, case):
    """With the setting; without it the profile is not met, which shows that it is the profile that is asked."""
    for options, is_met in ((ASKED, True), (OPTIONS, False)):
        made = [one.resource for one in merge_report([], map_dose_report(REPORTS[case], options), {}, options)]
        told = [errors(fhir_url, one) for one in made]
        assert all(not one for one in told) is is_met, told
