"""A list that comes in pieces tells what it tells as a whole, or an error; never a part for the whole."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.dicom.metadata_stream import streamed_instances
from shared.clients.http_answer import Answer, Stream

KEEP = frozenset({"00080018", "00080060", "0040A730"})
PART = 200


def instance(number, **more):
    return {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080018": {"vr": "UI", "Value": [f"1.{number}"]},
    } | more


def sequence(*items):
    return {"0040A730": {"vr": "SQ", "Value": list(items)}}


def streamed(text, *, size=50, part=PART, most=10**6):
    """All that is told of the text, in pieces of so many bytes."""
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    return list(streamed_instances(Stream(200, {}, pieces), MetadataParser(lambda: KEEP), part, most))


def whole(text):
    return MetadataParser(lambda: KEEP).instances(Answer(200, {}, text))


MANY = 30
LISTS = {
    "instances": [instance(n) for n in range(MANY)],
    "none": [],
    "items that look like instances": [instance(n, **sequence(*[instance(m) for m in range(9)])) for n in range(MANY)],
    "text that looks like the end of one": [instance(n, **{"00080060": '},{"00080005":{}},{"'}) for n in range(MANY)],
    "quotes and backslashes": [instance(n, **{"00080060": '\\"},{"00080005":\\'}) for n in range(MANY)],
    "others begin otherwise": [{f"0008006{n % 9}": 1} | instance(n) for n in range(MANY)],
    "empty ones": [{} for _ in range(5 * MANY)],
    "text beyond ASCII": [instance(n, **{"00080060": "患者 \u0085\u00a0 \U0001f600"}) for n in range(MANY)],
    "one that is larger than a part": [instance(0), instance(1, **{"00080060": "x" * 9 * PART}), instance(2)],
    "not a number": [instance(n, **{"00080060": float("nan")}) for n in range(MANY)],
    "half of a surrogate pair": [instance(n, **{"00080060": "\ud800"}) for n in range(MANY)],
}
WRITTEN = {
    "close": lambda told: json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"),
    "escaped": lambda told: json.dumps(told).encode(),
    "wide": lambda told: b" \n" + json.dumps(told, indent=3).encode() + b"\r\n",
    "UTF-16": lambda told: json.dumps(told).encode("utf-16"),
    "with a mark": lambda told: json.dumps(told).encode("utf-8-sig"),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("what", LISTS)
def test_pieces_tell_what_the_whole_tells(what, written):
    """However its text is written, and wherever the pieces end."""
    text = WRITTEN[written](LISTS[what])
    wanted = json.dumps(whole(text), default=float)
    for size in (1, 7, PART, len(text)):
        assert json.dumps(streamed(text, size=size), default=float) == wanted


@pytest.mark.parametrize("written", ["close", "wide"])
@pytest.mark.parametrize("what", ["instances", "items that look like instances", "empty ones"])
def test_a_list_that_is_cut_off_is_an_error(what, written):
    """Wherever that is: also between two instances, where what came looks whole."""
    text = WRITTEN[written](LISTS[what][:6]).rstrip()
    ends = {match.end() for match in re.finditer(rb"[]},]", text)} | set(range(0, len(text), 29))
    for end in ends - {len(text)}:
        with pytest.raises(ValueError, match="no JSON at character"):
            streamed(text[:end])


NO_LISTS = {
    # what is wrong and where: nothing of it may be passed over
    "torn in its midst": b'[%b,{"00080005":},%b]',
    "a comma too many": b"[%b,,%b]",
    "no comma": b"[%b %b]",
    "a number among them": b"[%b,7,%b]",
    "a list among them": b"[%b,[],%b]",
    "two lists": b"[%b],[%b]",
    "something behind it": b"[%b,%b]]",
    "a comma at its end": b"[%b,%b,]",
    "an object": b'{"a":[%b,%b]}',
}


@pytest.mark.parametrize("what", NO_LISTS)
def test_what_is_no_list_of_instances_is_an_error(what):
    """Where its parts are cut off, too."""
    some = b",".join(WRITTEN["close"](instance(n)) for n in range(12))
    with pytest.raises(ValueError, match=r"no JSON at character|not a JSON array of DICOM JSON objects"):
        streamed(NO_LISTS[what] % (some, some))


def test_an_instance_without_end_is_an_error():
    """And not a host that is out of memory."""
    text = WRITTEN["close"]([instance(0, **{"00080060": "x" * 20_000})])
    assert len(streamed(text, most=len(text))) == 1
    with pytest.raises(ValueError, match="more than 10000 bytes without the end of an instance"):
        streamed(text, most=10_000)


@pytest.mark.parametrize(
    "what", ["instances", "items that look like instances", "not a number", "others begin otherwise"]
)
def test_instances_are_told_while_they_come(what):
    """No more than some parts is ever held back."""
    told = LISTS[what] * 20
    text, given = WRITTEN["close"](told), 0

    def pieces():
        nonlocal given
        for at in range(0, len(text), 50):
            given += 50
            yield text[at : at + 50]

    length = len(text) / len(told)
    for number, _ in enumerate(streamed_instances(Stream(200, {}, pieces()), MetadataParser(lambda: KEEP), PART), 1):
        assert given - number * length < 3 * max(PART, 2 * length) + PART


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just('},{"00080005":'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["00080005", "00080018"]), inner),
    max_leaves=5,
)


@given(
    st.lists(st.dictionaries(st.sampled_from([*sorted(KEEP), "00080005"]), _VALUES), max_size=12),
    st.sampled_from(sorted(WRITTEN)),
    st.integers(1, 60),
    st.integers(1, 200),
)
def test_any_list_in_any_pieces(told, written, size, part):
    """The same as the whole tells."""
    text = WRITTEN[written](told)
    told, known = streamed(text, size=size, part=part), whole(text)
    assert json.dumps(told, sort_keys=True, default=float) == json.dumps(known, sort_keys=True, default=float)
