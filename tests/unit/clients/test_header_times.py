"""The times that services tell in headers: whatever stands there, it is read or passed over, and has a bound."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clients.header_times import MOST_WAIT_SECONDS, clock_of, retry_after_seconds, served_at

MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 06 May 2024 07:08:09 GMT",
        "Monday, 06-May-24 07:08:09 GMT",
        "Mon May  6 07:08:09 2024",
        "Mon, 06 May 2024 07:08:09",
        "Mon, 06 May 2024 07:08:09 -0000",
        "Mon, 06 May 2024 07:08:09 GMT, Mon, 06 May 2024 07:08:09 GMT",
        "Mon, 06 May 2024 09:08:09 +0200",
    ],
)
def test_a_date_is_utc_however_it_is_sent(text):
    """RFC 9110, 5.6.7; a proxy may give the header a second time. What it says is compared with clocks that know a zone."""
    assert served_at({"Date": text}) == MOMENT
    assert retry_after_seconds({"Retry-After": text}) == 0


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "²", "Mon, 06 May 99999 07:08:09 GMT", "Mon, 06 May 2024 25:61:61 GMT", "Mon, 06 May 2024 07:08:09 +99999999999999", "Sat, 01 Jan 0101 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"],
)  # fmt: skip
def test_a_date_that_is_none(text):
    """Then our own clock counts; what is reckoned from it stays in the calendar."""
    assert clock_of({"Date": text}) is None
    assert abs(served_at({"Date": text}) - datetime.now(UTC)) < timedelta(minutes=1)
    assert retry_after_seconds({"Retry-After": text}) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "1" + "0" * 12}, MOST_WAIT_SECONDS),
        ({"Retry-After": "9" * 400}, MOST_WAIT_SECONDS),
        ({"Retry-After": "Fri, 31 Dec 2999 23:59:59 GMT"}, MOST_WAIT_SECONDS),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "7, 7"}, None),
        ({}, None),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"x-ms-retry-after-ms": "inf", "Retry-After": "3"}, 3),
        ({"x-ms-retry-after-ms": "nan"}, None),
        ({"x-ms-retry-after-ms": "-1"}, None),
        ({"x-ms-retry-after-ms": "9" * 400}, MOST_WAIT_SECONDS),
    ],
)
def test_how_long_to_wait(headers, seconds):
    """Never more than a day, never a number that time cannot be added to."""
    assert retry_after_seconds(headers) == seconds


@given(st.text(max_size=80), st.sampled_from(["Date", "Retry-After", "x-ms-retry-after-ms"]))
def test_anything_else(text, name):
    """No header ends in a traceback."""
    assert served_at({name: text}) - timedelta(days=400)
    asked = retry_after_seconds({name: text})
    assert asked is None or datetime.now(UTC) + timedelta(seconds=asked)
