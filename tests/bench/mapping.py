"""`python -m tests.bench.mapping`: what mapping and merging cost per instance, for studies of 1k, 10k and 40k instances.

The metadata is that of pydicom's CT_small.dcm with the elements that vary in a series. Machines are noisy: each figure
is CPU time, the best of several runs, and stands beside a baseline of the same run, `json.loads` of one instance's metadata.
"""

import json
import time
from dataclasses import dataclass

from local.dicom_service.instance import read_instance
from local.samples import pydicom_files
from shared.bootstrap import settle
from shared.clients.http import Answer
from shared.clients.metadata_parser import MetadataParser
from shared.mapping.converters import MappingOptions
from shared.mapping.merge_study import merge_study
from shared.mapping.resources import MAPPED_KEYS, StudyMapper
from shared.model import Action, ChangeFeedEntry, State

SIZES = (1_000, 10_000, 40_000)
SERIES_LENGTH = 500
RUNS = 5
OPTIONS = MappingOptions("https://dicom.example.org")


def ct_metadata():
    """DICOM JSON text of a real CT instance."""
    (path,) = [path for path in pydicom_files() if path.name == "CT_small.dcm"]
    return read_instance(path.read_bytes(), None).metadata


def entries(text, count, first=0):
    """Entries of one study, each parsed from text of its own by the feed's parser."""
    whole, parser = json.loads(text), MetadataParser(MAPPED_KEYS)
    study = whole["0020000D"]["Value"][0]
    for number in range(first, first + count):
        series, instance = f"{study}.{number // SERIES_LENGTH}", f"{study}.{number // SERIES_LENGTH}.{number}"
        whole["0020000E"]["Value"] = [series]
        whole["00080018"]["Value"] = [instance]
        whole["00200013"]["Value"] = [number]
        (metadata,) = parser.instances(Answer(200, {}, json.dumps([whole]).encode()))
        yield ChangeFeedEntry(
            number + 1,
            study,
            series,
            instance,
            Action.CREATE,
            State.CURRENT,
            "2024-05-06T07:08:09+00:00",
            metadata=metadata,
        )


def best(work):
    """CPU seconds of the quickest of several runs, and what it returned."""
    results = []
    for _ in range(RUNS):
        settle()  # as the app of a process does
        started = time.process_time()
        result = work()
        results.append((time.process_time() - started, result))
    return min(results, key=lambda one: one[0])


def map_all(all_entries):
    mapper = StudyMapper(OPTIONS)
    return [mapper.map(entry) for entry in all_entries]


@dataclass(frozen=True, slots=True)
class Cost:
    """µs per instance of a study of `size` instances; `joining`: of each of 1,000 more."""

    size: int
    mapping: float
    merging: float
    joining: float

    @property
    def together(self):
        return self.mapping + self.merging


def baseline():
    """µs of `json.loads` of one instance's metadata."""
    text = ct_metadata()
    seconds, _ = best(lambda: [json.loads(text) for _ in range(2_000)])
    return seconds / 2_000 * 1e6


def costs(sizes=SIZES):
    text = ct_metadata()
    for size in sizes:
        arrived = list(entries(text, size))
        mapping, changes = best(lambda arrived=arrived: map_all(arrived))
        merging, study = best(lambda changes=changes: merge_study(None, changes, {}))
        more = map_all(entries(text, 1_000, first=size))
        joining, _ = best(lambda study=study, more=more: merge_study(study, more, {}))
        yield Cost(size, mapping / size * 1e6, merging / size * 1e6, joining / 1_000 * 1e6)


def table(unit, measured):
    """Markdown."""
    yield "| instances | map µs | merge, new study µs | together µs | of the baseline | 1,000 more join it µs each |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in measured:
        share = one.together / unit
        figures = (one.mapping, one.merging, one.together)
        told = " | ".join(f"{figure:.1f}" for figure in figures)
        yield f"| {one.size:,} | {told} | {share:.2f} | {one.joining:.1f} |"


def main():
    """Prints a Markdown table."""
    unit = baseline()
    print(f"baseline: json.loads of one instance's metadata: {unit:.1f} µs\n")
    for line in table(unit, costs()):
        print(line)


if __name__ == "__main__":
    main()
