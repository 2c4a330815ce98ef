"""Golden dose reports: a report of each template -> its Observations, which are R4; a second run writes nothing.

`python -m tests.unit.test_dose_golden` writes tests/data/dose_reports/*.json anew: read the difference before you
commit it.
"""

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from shared.clients.json_body import json_bytes
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_report
from shared.mapping.mapping_options import MappingOptions
from tests.dose_reports import (
    XRAY_REPORT,
    administration,
    container,
    ct,
    ct_event,
    modifier,
    num,
    plane,
    radiopharmaceutical,
    report,
    uid,
    xray,
    xray_accumulated,
    xray_event,
)
from tests.r4 import faults

FOLDER = Path(__file__).parents[1] / "data/dose_reports"
SERVICE = "https://dicom.example.org"
PLANES = ("DCM 113620 Plane A", "DCM 113621 Plane B")

CASES = {
    "ct": ct(ct_event(1), ct_event(2, started="20240506072130.5"), TimezoneOffsetFromUTC="+0200"),
    "xray_biplane": xray(
        *(xray_accumulated(name, factor) for factor, name in enumerate(PLANES, 1)),
        *(xray_event(number, name) for number, name in enumerate(PLANES, 1)),
        CompletionFlag="PARTIAL",
    ),
    "mammography": report(
        XRAY_REPORT,
        modifier("DCM 121058 Procedure reported", "SCT 71651007 Mammography"),
        container(
            "DCM 113702 Accumulated X-Ray Dose Data",
            plane("DCM 113622 Single Plane"),
            *(
                num(
                    "DCM 111637 Accumulated Average Glandular Dose",
                    dose,
                    "mGy",
                    modifier("SCT 272741003 Laterality", side),
                )
                for side, dose in (("SCT 73056007 Right breast", 1.5), ("SCT 80248007 Left breast", 1.75))
            ),
        ),
        container(
            "DCM 113706 Irradiation Event X-Ray Data",
            plane("DCM 113622 Single Plane"),
            uid("DCM 113769 Irradiation Event UID", "1.2.3.9.1.1"),
            num("DCM 111631 Average Glandular Dose", 1.5, "mGy"),
        ),
        template="10001",
    ),
    "radiopharmaceutical": radiopharmaceutical(administration(), VerificationFlag="VERIFIED", CompletionFlag="PARTIAL"),
    "radiopharmaceutical_former_codes": radiopharmaceutical(administration(concepts="SRT")),
}


def observations(metadata):
    mapped = map_dose_report(metadata, MappingOptions(SERVICE))
    assert mapped.faults == ()
    return [write.resource for write in merge_report([], mapped, {}, MappingOptions(SERVICE))]


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    """The Observations are the file's, and R4 by two validators."""
    made = observations(CASES[case])
    assert made == json.loads((FOLDER / f"{case}.json").read_text(encoding="utf-8"), parse_float=Decimal)
    assert [faults(resource) for resource in made] == [[]] * len(made)


@pytest.mark.parametrize("case", CASES)
def test_the_second_run_writes_nothing(case):
    """As a server holds them, with ids and versions."""
    held = [
        resource | {"id": str(number), "meta": {**resource["meta"], "versionId": "1"}}
        for number, resource in enumerate(observations(CASES[case]))
    ]
    assert merge_report(held, map_dose_report(CASES[case], MappingOptions(SERVICE)), {}, MappingOptions(SERVICE)) == []


def test_former_codes_say_the_same():
    """PS3.16 went from SNOMED RT to SNOMED CT; the concepts stayed."""
    assert (
        observations(CASES["radiopharmaceutical"])[0]["component"]
        == (observations(CASES["radiopharmaceutical_former_codes"])[0]["component"])
    )


def main():
    """Writes each case's Observations as they come out now."""
    for case, metadata in CASES.items():
        made = msgspec.json.format(json_bytes(observations(metadata)), indent=2)
        (FOLDER / f"{case}.json").write_bytes(made + b"\n")


if __name__ == "__main__":
    main()
