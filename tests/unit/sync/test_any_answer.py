"""Any JSON where a server's answer is expected, from the feed to the transaction, by the real clients.

It is an error that has a name, and never another study's: the readers' own tests have more of each answer.
"""

import copy
import json
import os
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.mapping.mapping_options import MappingOptions
from shared.sync.batch import BatchOptions
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.bench.memory_fhir import MemoryFhir
from tests.fakes import FakeClock, metadata
from tests.unit.sync.two_servers import DICOM, Archive, Servers, about, clients

OPTIONS = BatchOptions(MappingOptions(DICOM, generate_observations=True), size=100, total_retry_seconds=1)
BAD, GOOD = "1.2.66", "1.2.77"
TICKS = 12
NAMES = ["resourceType", "id", "meta", "versionId", "entry", "resource", "response", "status", "location", "link", "url", "relation", "total", "identifier", "series", "uid", "instance", "subject", "reference", "Value", "vr", "Sequence", "Action", "State", "Metadata", "Timestamp", "0020000D"]  # fmt: skip
TEXTS = ["", "²", "-1", "\ud800", "200 OK", "201", "Patient/1", "next", "http://elsewhere.test/x", "Bundle", "ImagingStudy", "deleted", "9999-12-31T23:59:59+00:00"]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([*TEXTS, 2**63, 10**30])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
HOW = settings(
    max_examples=int(os.environ.get("EXAMPLES", "25")),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def told(sequence, study, instance, action="create", **tags):
    said = metadata(study=study, series=f"{study}.3", instance=f"{study}.3.{instance}", t00100020=f"P-{study}", **tags)
    uids = {"StudyInstanceUid": study, "SeriesInstanceUid": f"{study}.3", "SopInstanceUid": f"{study}.3.{instance}"}
    at = f"2024-05-06T0{sequence}:00:00.0000000+00:00"
    return {"Sequence": sequence, **uids, "Action": action, "State": "current", "Timestamp": at, "Metadata": said}


BEFORE = [told(1, BAD, 1), told(2, GOOD, 1)]
AFTER = [told(3, BAD, 1, "update", t00081030="Chest"), told(4, GOOD, 2), told(5, BAD, 2), told(6, GOOD, 1, "update", t00081030="Head")]  # fmt: skip


@cache
def synced():
    """What FHIR holds before anything is altered, and where the sync stands."""
    fhir = MemoryFhir()
    made = clients(Servers(Archive(BEFORE), fhir, FakeClock().now, lambda asked, answer: answer))
    assert tick(made, OPTIONS, OutageLog(made.now)).result.written == 2
    return fhir, made.watermarks.stored


def run(alter):
    """Ticks until the feed is done, at most so many; what FHIR holds then, and the rows."""
    before, stored = synced()
    fhir = MemoryFhir()
    fhir._held = dict(before._held)
    fhir._found = {token: set(keys) for token, keys in before._found.items()}
    clock = FakeClock()
    made = clients(Servers(Archive([*BEFORE, *AFTER]), fhir, clock.now, alter), now=clock.now, sleep=clock.sleep)
    made.watermarks.stored = stored
    for _ in range(TICKS):
        record = tick(made, OPTIONS, OutageLog(clock.now))
        assert "Unforeseen" not in (record.error or ""), record.error
        clock.sleep(70)
        if made.watermarks.watermark.sequence >= 6:
            break
    assert [row.message for row in made.errors.rows if "unforeseen" in row.message] == []
    return made, {json.loads(one.text)["identifier"][0]["value"]: json.loads(one.text) for one in fhir._held.values() if one.key.startswith("ImagingStudy/")}  # fmt: skip


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in items:
        yield from places(one, (*path, name))


def put(body, path, value, name=None):
    """The body with another value at the place, or with one more of that name in the object there."""
    if not path:
        return {**body, name: value} if name and isinstance(body, dict) else value
    changed = copy.copy(body)
    changed[path[0]] = put(body[path[0]], path[1:], value, name)
    return changed


def is_right(study):
    return study["description"] == "Head" and len(study["series"][0]["instance"]) == 2


def test_what_is_not_altered_is_synced():
    """Both studies, by reads of the archive and of FHIR: the tests below alter what this one is answered."""
    asked = []
    made, studies = run(lambda said, answer: asked.append(said) or answer)
    assert is_right(studies[f"urn:oid:{GOOD}"])
    assert len(studies[f"urn:oid:{BAD}"]["series"][0]["instance"]) == 2
    assert (made.errors.rows, made.watermarks.watermark.sequence) == ([], 6)
    kinds = [
        "/changefeed?",
        "/changefeed/latest",
        "/series?",
        "/metadata",
        '"batch"',
        '"transaction"',
        "GET http://fhir.test/",
    ]
    assert [kind for kind in kinds if not any(kind in one for one in asked)] == []


@HOW
@given(st.integers(0, 25), st.integers(0, 200), st.none() | st.sampled_from(NAMES), JSON)
def test_any_json_about_one_study_stops_no_other(first, place, name, value):
    """From the answer of that number on, in the same place of all that is about the study, again and again."""
    answers = [0]

    def alter(asked, answer):
        if not (own := about(BAD, GOOD, asked, answer)):
            return answer
        answers[0] += 1
        if answers[0] <= first:
            return answer
        for root in own:
            inside = answer
            for step in root:
                inside = inside[step]
            within = list(places(inside))
            answer = put(answer, (*root, *within[place % len(within)]), value, name)
        return answer

    _, studies = run(alter)
    assert is_right(studies[f"urn:oid:{GOOD}"])


@HOW
@given(st.integers(0, 40), st.integers(0, 400), st.none() | st.sampled_from(NAMES), JSON)
def test_any_json_once_in_any_answer(number, place, name, value):
    """Of whatever it is, of both studies or of neither: what was asked is asked again, or has a row."""
    answers = [0]

    def alter(_asked, answer):
        answers[0] += 1
        within = list(places(answer))
        return put(answer, within[place % len(within)], value, name) if answers[0] == number else answer

    run(alter)


@pytest.mark.parametrize("value", [None, 7, [], {}, [None]], ids=repr)
def test_odd_json_in_each_place_of_the_answers_about_one_study(value):
    """In the same one of the outermost places of all of them, for good, once the feed has told of it."""
    for place in range(10):
        answers = [0]

        def alter(asked, answer, place=place, answers=answers):
            own = about(BAD, GOOD, asked, answer)
            answers[0] += bool(own)
            for root in own if answers[0] > 1 else ():
                inside = answer
                for step in root:
                    inside = inside[step]
                within = list(places(inside))
                answer = put(answer, (*root, *within[min(place, len(within) - 1)]), value)
            return answer

        _, studies = run(alter)
        assert is_right(studies[f"urn:oid:{GOOD}"]), place
