"""`python -m tests.bench.mapping`: what parsing, mapping and merging cost per instance, for studies of 1k to 40k.

The metadata is that of pydicom's CT_small.dcm with the elements that vary in a series. Machines are noisy: each figure
is CPU time, the best of several runs, and stands beside a baseline of the same run, `json.loads` of one instance's metadata.
"""

import gc
import json
import time
from dataclasses import dataclass

from local.dicom_service.instance import read_instance
from local.samples import pydicom_files
from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.http_answer import Answer
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import merge_study
from shared.mapping.resources import MAPPED_KEYS, StudyMapper
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.process.garbage_collector import freeze_startup_objects

SIZES = (1_000, 10_000, 40_000)
SERIES_LENGTH = 500
RUNS = 5
PARSED = 1_000
OPTIONS = MappingOptions("https://dicom.example.org")


def ct_metadata():
    """DICOM JSON text of a real CT instance."""
    (path,) = [path for path in pydicom_files() if path.name == "CT_small.dcm"]
    return read_instance(path.read_bytes(), None).metadata


def answers(text, count, first=0):
    """What WADO-RS tells of instances of one study, one by one."""
    whole = json.loads(text)
    study = whole["0020000D"]["Value"][0]
    for number in range(first, first + count):
        series, instance = f"{study}.{number // SERIES_LENGTH}", f"{study}.{number // SERIES_LENGTH}.{number}"
        whole["0020000E"]["Value"] = [series]
        whole["00080018"]["Value"] = [instance]
        whole["00200013"]["Value"] = [number]
        yield Answer(200, {}, json.dumps([whole]).encode())


def parse_all(all_answers):
    parser = MetadataParser(lambda: MAPPED_KEYS)
    return [parser.instances(answer)[0] for answer in all_answers]


def entries(text, count, first=0):
    """Entries of one study, each with metadata from text of its own, by the feed's parser."""
    for number, metadata in enumerate(parse_all(answers(text, count, first)), first + 1):
        study, series, instance = (metadata[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
        timestamp = "2024-05-06T07:08:09+00:00"
        yield ChangeFeedEntry(
            number, study, series, instance, Action.CREATE, State.CURRENT, timestamp, metadata=metadata
        )


def best(work):
    """CPU seconds of the quickest of several runs, and what it returned."""
    results = []
    for _ in range(RUNS):
        gc.collect()
        freeze_startup_objects()  # as the app of a process does
        started = time.process_time()
        result = work()
        results.append((time.process_time() - started, result))
    return min(results, key=lambda one: one[0])


def map_all(all_entries):
    mapper = StudyMapper(OPTIONS)
    return [mapper.map(entry) for entry in all_entries]


@dataclass(frozen=True, slots=True)
class Cost:
    """µs per instance of a study of `size` instances; `joining`: to merge each of 1,000 more."""

    size: int
    parsing: float
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
        some = list(answers(text, PARSED))
        parsing, _ = best(lambda some=some: parse_all(some))
        arrived = list(entries(text, size))
        mapping, changes = best(lambda arrived=arrived: map_all(arrived))
        merging, study = best(lambda changes=changes: merge_study(None, changes, {}))
        more = map_all(entries(text, 1_000, first=size))
        joining, _ = best(lambda study=study, more=more: merge_study(study, more, {}))
        micros = [seconds * 1e6 for seconds in (parsing / PARSED, mapping / size, merging / size, joining / 1_000)]
        yield Cost(size, *micros)


def table(unit, measured):
    """Markdown."""
    yield (
        "| instances | parse µs | map µs | merge, new study µs | map and merge µs | of the baseline "
        "| 1,000 more join it µs each |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in measured:
        share = one.together / unit
        figures = (one.parsing, one.mapping, one.merging, one.together)
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
