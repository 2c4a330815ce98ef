"""Dose reports of real devices: what each says stands in its Observations, and these are R4.

What a report says is read here with pydicom, by a walk that shares no code with the mapping. Without the packages that
carry the reports (tests/data/dose_reports/requirements.txt; `make test` fetches them) these tests are skipped.
"""

import json
from functools import cache

import pydicom
import pytest

from local.dicom_service.instance import read_instance
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_report
from shared.mapping.dose.report import is_dose_report
from shared.mapping.dose.structured_report import ContentHeld, content_held
from shared.mapping.mapping_options import MappingOptions
from tests.dose_reports import REAL_FILES
from tests.r4 import faults

SERVICE = "https://dicom.example.org"
NOT_REPORTS = ("Im-", "-SC-")  # images, and a screenshot of doses
FILES = sorted(path for path in REAL_FILES.rglob("*.dcm") if not any(part in path.name for part in NOT_REPORTS))
pytestmark = pytest.mark.skipif(not FILES, reason="no dose reports here: `make test` fetches the packages with them")

NOT_OF_DOSES = {"ESR_non-dose.dcm", "RF-ESR-Siemens-Varic.dcm"}
FAULTS = {"RF-RDSR-GE.dcm": ["(0008,0201) TimezoneOffsetFromUTC (SH): an offset +HHMM or -HHMM is expected"]}

# What each says, by the concept's code; read off the reports by a person.
SAYS = [
    # report                                   status         events  code      value of the summary's component
    ("CT-RDSR-Siemens-Multi-3.dcm",            "final",       3,      "113813", (236.09, "mGy.cm")),
    ("CT-RDSR-GEPixelMed.dcm",                 "final",       2,      "113813", (586.34, "mGy.cm")),
    ("CT-RDSR-ToshibaPixelMed.dcm",            "final",       3,      "113812", 3),
    ("CT-RDSR-Philips_BigBore4DCT.dcm",        "final",       1,      "113813", (541.1, "mGy.cm")),
    ("CT-ESR-GE_VCT.dcm",                      "final",       27,     "113813", (2002.39, "mGy.cm")),
    ("DX-RDSR-Canon_CXDI.dcm",                 "final",       1,      "113722", (1.07e-05, "Gy.m2")),
    ("DX-RDSR-Canon_CXDI_noDAP.dcm",           "final",       2,      "113722", None),
    ("RF-RDSR-Siemens-Zee.dcm",                "preliminary", 8,      "113725", (0.00252, "Gy")),
    ("RF-RDSR-Philips_Azurion.dcm",            "final",       89,     "113731", 9581),
    ("RF-RDSR-Canon-Alphenix-rotational.dcm",  "final",       49,     "113730", (70.0, "s")),
    ("philips_allura_clarity_u104.dcm",        "final",       25,     "113730", (37.0, "s")),
    ("NM-RRDSR-Siemens.dcm",                   "final",       1,      "113507", (394.0, "MBq")),
]  # fmt: skip


@cache
def metadata_of(path):
    """As the DICOM service gives it."""
    return json.loads(read_instance(path.read_bytes(), None).metadata)


def observations_of(path):
    mapped = map_dose_report(metadata_of(path), MappingOptions(SERVICE))
    assert [str(fault) for fault in mapped.faults] == FAULTS.get(path.name, [])
    return [write.resource for write in merge_report([], mapped, {}, MappingOptions(SERVICE))]


def walk(dataset):
    for item in dataset.get("ContentSequence") or []:
        yield item
        yield from walk(item)


def code_of(item):
    names = item.get("ConceptNameCodeSequence") or [pydicom.Dataset()]
    return names[0].get("CodeValue")


def values(observations, code):
    """The values of the components of that code, as they are written: (number, unit), number, or code."""
    for observation in observations:
        for component in observation.get("component", []):
            if component["code"]["coding"][0]["code"] == code:
                (element,) = component.keys() - {"code"}
                value = component[element]
                if element == "valueQuantity":
                    yield float(value["value"]), value["unit"]
                else:
                    yield value if element == "valueInteger" else value["coding"][0]["code"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_report(path):
    """One summary and an Observation per event, valid by both validators; each measured dose of an event is there."""
    if path.name in NOT_OF_DOSES:
        assert not is_dose_report(metadata_of(path))
        return
    assert is_dose_report(metadata_of(path))
    assert content_held(metadata_of(path)) is ContentHeld.HERE
    observations = observations_of(path)
    assert [fault for one in observations for fault in faults(one)] == []
    items = list(walk(pydicom.dcmread(path)))
    assert len(observations) == 1 + sum(code_of(item) in ("113706", "113819", "113502") for item in items)
    for code in ("113830", "113838", "122130", "113738", "113813", "113722"):
        measured = [
            item.MeasuredValueSequence[0] for item in items if code_of(item) == code and item.MeasuredValueSequence
        ]
        assert sorted(value for value, _ in values(observations, code)) == sorted(
            float(one.NumericValue) for one in measured
        )


@pytest.mark.parametrize(("name", "status", "events", "code", "value"), SAYS, ids=[row[0] for row in SAYS])
def test_what_a_real_report_says(name, status, events, code, value):
    """By makers and modalities."""
    (path,) = (path for path in FILES if path.name == name)
    summary, *of_events = observations_of(path)
    assert (summary["status"], len(of_events)) == (status, events)
    assert next(values([summary], code), None) == value


def test_the_reports_are_many_and_of_many_kinds():
    """The tests above are not empty."""
    assert len(FILES) >= 40
    assert {metadata_of(path)["00080016"]["Value"][0][-2:] for path in FILES} == {"22", "67", "68"}
