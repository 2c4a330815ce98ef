"""What a caller may put into a request: read, or answered with its faults; never an error of the app."""

import base64
import json

import pytest

from shared.errors import RequestError
from shared.model.failures import ErrorTable
from shared.web.queries import page_of, row_of, search_of, study_of
from shared.web.replay_request import replay_of


def place(value):
    said = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(said).decode()


@pytest.mark.parametrize(
    "after",
    [
        place(5),
        place(None),
        place(True),
        place({"a": 1, "b": 2}),
        place("ab"),
        place(["one"]),
        place(["one", 2]),
        place(["one", "two", "three"]),
        place(["one", "a\x00b"]),
        place(["one", "\ud800"]),
        place(["one", "x" * 1025]),
        place(b"[" * 5000),
        place(b"\xff"),
        "x",
        "\ud800",
        "",
    ],
)
def test_a_place_that_is_none_is_named(after):
    """`after` is what a page before said, or the fault of the request: 5 in base64 (`NQ==`) is no place."""
    with pytest.raises(RequestError, match="after: the `next` of a page is expected"):
        page_of(ErrorTable.DICOM, {"after": after})


def test_a_place_is_read():
    asked = page_of(ErrorTable.DICOM, {"after": place(["TornEntryError", "00000000000000000017"])})
    assert asked
    assert asked[2] == ("TornEntryError", "00000000000000000017")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"5", b"null", b"\xff", b'{"study": "\\ud800"}'])
def test_a_body_that_is_none_is_named(body):
    """However it is nested."""
    with pytest.raises(RequestError):
        replay_of(body, None)


@pytest.mark.parametrize("sequence", ["0", "-1", "x", "", "9223372036854775808", "1.0", "1_0"])
def test_a_sequence_that_is_none_is_named(sequence):
    """A number of 64 bits, from 1 on."""
    with pytest.raises(RequestError, match="sequence: a whole number"):
        row_of({"table": ErrorTable.DICOM, "sequence": sequence})


def test_the_row_to_close():
    assert row_of({"table": ErrorTable.DICOM, "sequence": "17"}) == (ErrorTable.DICOM, 17)
    assert row_of({"table": "SyncStateTable", "sequence": "17"}) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"text": ""}',
        b'{"text": " "}',
        b'{"text": 5}',
        b'{"text": null}',
        b'{"text": ["P-1"]}',
        b'{"text": "P\\\\1"}',
        b'{"text": "P\\n1"}',
        b'{"text": "a\\u0000b"}',
        b'{"text": "\\ud800"}',
        json.dumps({"text": "Plantagenet" * 6}).encode(),
        b'{"text": "Plantagenet", "partition": "a b"}',
        b'{"text": "Plantagenet", "partition": null}',
        b'{"text": "Plantagenet", "more": 1}',
        b"[" * 5000,
    ],
)
def test_a_search_that_is_none_is_named(body):
    """Without its value, which may be a patient's."""
    with pytest.raises(RequestError) as caught:
        search_of(body)
    assert "Plantagenet" not in str(caught.value)


def test_a_search():
    """Blanks around it are a slip of the hand."""
    assert search_of(b'{"text": " P-1 "}') == ("P-1", None)
    assert search_of('{"text": "Ä*", "partition": "north"}'.encode()) == ("Ä*", "north")


def test_a_study():
    """Its UID stands in the path, and nowhere else."""
    assert study_of({"uid": "1.2.3"}, {}) == ("1.2.3", "Microsoft.Default", False)
    assert study_of({"uid": "1.2.3"}, {"partition": "north", "patients": "true"}) == ("1.2.3", "north", True)
    for route, params in (
        ({"uid": "1.x"}, {}),
        ({}, {}),
        ({"uid": "1.2"}, {"patients": "yes"}),
        ({"uid": "1.2"}, {"text": "x"}),
    ):
        with pytest.raises(RequestError):
            study_of(route, params)
