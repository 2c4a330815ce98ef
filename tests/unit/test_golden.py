"""Golden cases: entries + what FHIR holds -> the transaction that is sent; the second run must write nothing.

A case is a folder of tests/data/cases: `entry.json` (change feed entries as the service gives them), `existing.json`
(what the FHIR server holds, the Endpoint among it unless it is to be made), `bundle.json` (the transactions that are
sent, in their order). Where there is an `options.json` it has
fields of MappingOptions, an `archive.json` how many instances the DICOM service has: StudyInstanceUID -> SeriesInstanceUID
-> number. `python -m tests.unit.test_golden` writes the bundles anew: read the difference before you commit it.
"""

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from shared.clients.dicom.change_feed_entry import entry_of
from shared.clients.json_body import json_bytes
from shared.mapping.mapping_options import MappingOptions
from shared.model.watermark import Watermark
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.archive_of_fhir import ArchiveOfFhir
from tests.fakes import FakeFhir, entry, ports

CASES = sorted(path for path in (Path(__file__).parents[1] / "data/cases").iterdir() if path.is_dir())


def load(case, name):
    path = case / name
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal) if path.exists() else {}


class CountedArchive(ArchiveOfFhir):
    """What FHIR lists and the entries say; of series that FHIR only counts as many instances as `counted` says."""

    def __init__(self, fhir, entries, counted, uid_system):
        super().__init__(fhir, entries, uid_system)
        self._counted = counted

    def instances(self, study_instance_uid, partition, series_instance_uid=None):
        listed = list(super().instances(study_instance_uid, partition, series_instance_uid))
        yield from listed
        for uid, number in self._counted.get(study_instance_uid, {}).items():
            if series_instance_uid in (None, uid):
                there = sum(one.series_instance_uid == uid for one in listed)
                yield from (
                    entry(0, study=study_instance_uid, series=uid, instance=f"{uid}.9{number}")
                    for number in range(number - there)
                )


def run(case, fhir):
    options = MappingOptions("https://dicom.example.org", **load(case, "options.json"))
    entries = [entry_of(item, case.name) for item in load(case, "entry.json")]
    uid_system = options.of_partition(entries[0].partition).uid_system
    archive = CountedArchive(fhir, entries, load(case, "archive.json"), uid_system)
    fakes = ports(fhir=fhir, archive=archive)
    fakes.feed_order.begin(Watermark(), [one.sequence for one in entries])  # as they are read in the feed
    StudySync(fakes, options).run_all([Study(entries)])


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_golden(case):
    """The bundle is the file's; run again, nothing is sent."""
    fhir = FakeFhir(resources=load(case, "existing.json"))
    run(case, fhir)
    assert sent(fhir) == load(case, "bundle.json")
    before = len(sent(fhir))
    run(case, fhir)
    assert len(sent(fhir)) == before


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_names_inside_a_bundle_stand_in_references_alone(case):
    """Medplum puts the new resource's reference in place of its `fullUrl` in any text, an identifier's value too."""
    for bundle in load(case, "bundle.json"):
        names = {entry["fullUrl"] for entry in bundle["entry"] if "fullUrl" in entry}
        texts = {text for entry in bundle["entry"] for text in texts_of(entry.get("resource", {}))}
        assert names.isdisjoint(texts)


def texts_of(value):
    """All but references."""
    if isinstance(value, dict):
        yield from (text for name, one in value.items() if name != "reference" for text in texts_of(one))
    elif isinstance(value, list):
        yield from (text for one in value for text in texts_of(one))
    elif isinstance(value, str):
        yield value


def sent(fhir):
    return fhir.endpoints + fhir.bundles


def main():
    """Writes each case's bundle.json as it comes out now."""
    for case in CASES:
        fhir = FakeFhir(resources=load(case, "existing.json"))
        run(case, fhir)
        text = msgspec.json.format(json_bytes(sent(fhir)), indent=2)
        (case / "bundle.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
