"""DICOM JSON is parsed to the tags to keep, by whichever parser takes it."""

import json
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.http_answer import Answer
from shared.clients.json_body import json_bytes

KEEP = frozenset({"00080060", "00100010", "00200013"})
MODALITY = '"00080060":{"vr":"CS","Value":["CT"]}'
REST = '"7FE00010":{"vr":"OW","BulkDataURI":"https://d/x"}'


def answer(body):
    return Answer(200, {}, body if isinstance(body, bytes) else body.encode())


def page(*metadata):
    entries = [f'{{"Sequence":{number},"Metadata":{one}}}' for number, one in enumerate(metadata, 1)]
    return answer(f"[{','.join(entries)}]")


def parsed(*metadata):
    return [entry["Metadata"] for entry in MetadataParser(lambda: KEEP).entries(page(*metadata))]


def test_elements_that_repeat_are_held_once():
    """Of the tags to keep; a tag that changes is another object."""
    one, two = parsed(*[f'{{{MODALITY},{REST},"00200013":{{"vr":"IS","Value":[{n}]}}}}' for n in (1, 2)])
    assert two == {"00080060": {"vr": "CS", "Value": ["CT"]}, "00200013": {"vr": "IS", "Value": [2]}}
    assert two["00080060"] is one["00080060"]
    assert one["00200013"]["Value"] == [1]


@pytest.mark.parametrize("values", [("1", "true", "1.0"), ("0", "false", "null"), ("NaN", "1", "true")])
def test_what_is_written_differently_is_another_element(values):
    """Though Python calls them equal."""
    read = parsed(*[f'{{"00200013":{{"Value":[{value}]}}}}' for value in values])
    assert [json.dumps(one["00200013"]["Value"][0], default=float) for one in read] == list(values)


@pytest.mark.parametrize("mark", ["NaN", '"\\ud800"', "1e999"])
def test_what_the_fast_parser_does_not_take_is_no_loss(mark):
    """In a tag that nobody reads, or in one that is read: half a surrogate pair, NaN."""
    (read,) = parsed(f'{{{MODALITY},"00100010":{mark}}}')
    assert json.dumps(read["00100010"], default=float) == json.dumps(json.loads(mark))
    (read,) = parsed(f'{{{MODALITY},"00100011":{mark}}}')
    assert read == {"00080060": {"vr": "CS", "Value": ["CT"]}}


@pytest.mark.parametrize("tag", ["00100010", "00100011"])
def test_what_no_parser_takes_is_told(tag):
    """Nested deeper than any Python's parsers go, wherever it stands."""
    with pytest.raises(ValueError, match="nested JSON of"):
        parsed(f'{{{MODALITY},"{tag}":{"[" * 200_000}{"]" * 200_000}}}')


@pytest.mark.parametrize(
    "body", ["{}", "[1]", "null", '[{"Metadata":[]}]', '[{"Sequence":"1"}]', '[{"Metadata":null}]']
)
def test_what_is_no_entry_stays_as_it_is(body):
    """It is told where it is read."""
    assert MetadataParser(lambda: KEEP).entries(answer(body)) == json.loads(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[{]", b'[{"Sequence":1,}]', b'[{"Metadata":{"00080060":\xff}}]'])
def test_what_is_no_json_is_told_by_place(body):
    """Never by what stands there."""
    with pytest.raises(ValueError, match=rf"no JSON at character \d+ of {len(body)} bytes"):
        MetadataParser(lambda: KEEP).entries(answer(body))


def test_a_list_of_metadata():
    """WADO-RS: the same without the entries around it."""
    parser = MetadataParser(lambda: KEEP)
    assert parser.instances(answer(f"[{{{MODALITY},{REST}}}]")) == [{"00080060": {"vr": "CS", "Value": ["CT"]}}]
    assert parser.instances(answer(f'[{{{MODALITY},{REST},"00100010":NaN}},5]'))[0].keys() == {"00080060", "00100010"}


def test_nothing_of_an_answer_is_held():
    """A page has a megabyte, and what repeats is remembered for long."""
    parser, content = MetadataParser(lambda: KEEP), page(f"{{{MODALITY},{REST}}}").content
    before = sys.getrefcount(content)
    read = parser.entries(answer(content))
    assert read
    assert sys.getrefcount(content) == before


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.sampled_from([*sorted(KEEP), "00080005"]), _VALUES), max_size=4), st.booleans())
def test_both_parsers_tell_the_same(instances, escaped):
    """Whatever JSON the elements are, and however their text is escaped."""
    wanted = [{key: one[key] for key in one.keys() & KEEP} for one in instances]
    text = json.dumps([{"Metadata": one} for one in instances], ensure_ascii=escaped)
    read = MetadataParser(lambda: KEEP).entries(answer(text.encode("utf-8", "surrogatepass")))
    told = json.dumps([entry["Metadata"] for entry in read], sort_keys=True, default=float)
    assert told == json.dumps(wanted, sort_keys=True)


def test_a_decimal_beside_what_is_no_entry():
    """Such an answer is parsed twice: nothing is lost but how exact the number is."""
    text = '[7,{"Metadata":{"00200013":{"Value":[1.10]}}}]'
    assert MetadataParser(lambda: KEEP).entries(answer(text))[1] == {"Metadata": {"00200013": {"Value": [1.1]}}}


@pytest.mark.parametrize("digits", ["1.10", "0.0", "12.0000", "1e-7", "0.1234567890123456789"])
def test_a_decimal_keeps_its_digits(digits):
    """They say how exact it is; what is sent to FHIR has them as they came."""
    (read,) = parsed(f'{{"00200013":{{"Value":[{digits}]}}}}')
    number = read["00200013"]["Value"][0]
    assert Decimal(json_bytes(number).decode()).as_tuple() == Decimal(digits).as_tuple()
