"""Links to the next page: in every spelling resolved, and asked of the configured origin alone."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clients.fhir.links import followed
from shared.errors import PagingError

BASE = "http://fhir.example.org:8080/hapi/r4"
ASKED = f"{BASE}/Patient?identifier=%7C1&_count=200"
INNER = "http://10.0.0.7/inner"
NEXT = f"{BASE}?_getpages=1"


LINKS = [
    # the link, what is asked for
    (NEXT, NEXT),  # HAPI's
    (f"{BASE}/Patient?_getpages=1", f"{BASE}/Patient?_getpages=1"),
    ("/hapi/r4?_getpages=1", NEXT),
    ("/hapi/r4/Patient?page=2", f"{BASE}/Patient?page=2"),
    ("Patient?page=2", f"{BASE}/Patient?page=2"),
    ("?page=2", f"{BASE}/Patient?page=2"),
    ("./Patient?page=2", f"{BASE}/Patient?page=2"),
    ("../r4/Patient?page=2", f"{BASE}/Patient?page=2"),
    ("HTTP://FHIR.EXAMPLE.ORG:8080/hapi/r4?_getpages=1", NEXT),
    ("//fhir.example.org:8080/hapi/r4?_getpages=1", NEXT),
    ("http://fhir.example.org:8080/hapi/r4?_getpages=1#top", NEXT),
    ("http://fhir.example.org:8080/hapi/r4?_getpages=a%7Cb&x=1%2C2", f"{BASE}?_getpages=a%7Cb&x=1%2C2"),
    # another origin, and a path of ours
    ("https://fhir.example.org/hapi/r4?_getpages=1", NEXT),
    ("http://fhir.example.org/hapi/r4?_getpages=1", NEXT),
    ("//evil.example.org/hapi/r4?_getpages=1", NEXT),
    ("http://fhir.example.org:8080@evil.example.org/hapi/r4?_getpages=1", NEXT),
    ("http://user:secret@fhir.example.org:8080/hapi/r4?_getpages=1", NEXT),
    ("http://[2001:db8::1]:8080/hapi/r4?_getpages=1", NEXT),
    # the inner base
    (f"{INNER}?_getpages=1", NEXT),
    (f"{INNER}/Patient?page=2", f"{BASE}/Patient?page=2"),
    ("http://10.0.0.7:80/inner?_getpages=1", NEXT),
    ("/inner?_getpages=1", NEXT),  # a path alone
]


@pytest.mark.parametrize(("link", "asked"), LINKS, ids=[row[0] for row in LINKS])
def test_a_link_is_asked_of_the_configured_origin(link, asked):
    """Whatever host it names: where its path lies under our base, or under the one that the server calls its own."""
    assert followed(BASE, ASKED, link, INNER) == asked


REFUSED = [
    # the link, what is told of it
    ("http://evil.example.org/elsewhere?_getpages=1", "http://evil.example.org"),
    ("http://user:secret@evil.example.org/elsewhere", "http://evil.example.org"),
    ("http://fhir.example.org:8080/elsewhere", "http://fhir.example.org"),
    (f"{BASE}/../../elsewhere", "http://fhir.example.org"),
    (f"{BASE}/%2e%2e/%2E%2E/elsewhere", "http://fhir.example.org"),
    (f"{BASE}five/Patient", "http://fhir.example.org"),  # no part of the path, but the beginning of a name
    ("../../../Patient", "http://fhir.example.org"),
    (f"{INNER}most/Patient", "http://10.0.0.7"),
    ("http://fhir.example.org:8080", "http://fhir.example.org"),
    ("ftp://fhir.example.org/hapi/r4?_getpages=1", "ftp://fhir.example.org"),
    ("file:///hapi/r4/Patient", "file://"),
    ("javascript:/hapi/r4/x", "javascript:"),
    ("urn:uuid:6f1d6f70-3b8c-4b8e-9c39-0c5a4c4ce3a3", "urn:"),
    ("http://[/hapi/r4", "no URL"),
    ("http://fhir.example.org:port/hapi/r4", "no URL"),
    ("http://fhir.example.org:99999/hapi/r4", "no URL"),
    ("http://fhir.example.org:8080//[/hapi/r4", "no URL"),
]


@pytest.mark.parametrize(("link", "told"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_not_followed_is_named(link, told):
    """By its scheme and host: what stands behind may be a patient's or a password."""
    with pytest.raises(PagingError) as caught:
        followed(BASE, ASKED, f"{link}", INNER)
    assert told in str(caught.value)
    assert "_getpages" not in str(caught.value)
    assert "secret" not in str(caught.value)


BASES = [
    # base, what the server calls itself, the link, what is asked for
    ("http://host/fhir", None, "http://host:80/fhir?p=1", "http://host/fhir?p=1"),
    ("https://host/fhir", None, "https://host:443/fhir?p=1", "https://host/fhir?p=1"),
    ("http://host:80/fhir", None, "http://host/fhir?p=1", "http://host:80/fhir?p=1"),
    ("http://[::1]:8080/fhir", None, "http://[::1]:8080/fhir?p=1", "http://[::1]:8080/fhir?p=1"),
    ("http://host", None, "http://host/Patient?p=1", "http://host/Patient?p=1"),
    ("http://host", "http://inner:8080/r4", "http://inner:8080/r4/Patient?p=1", "http://host/Patient?p=1"),
    ("https://gate/a/b", "http://inner:8080", "http://inner:8080/Patient?p=1", "https://gate/a/b/Patient?p=1"),
    ("https://gate/a/b", "http://inner:8080/", "http://inner:8080?p=1", "https://gate/a/b?p=1"),
    ("https://gate/fhir", "http://inner/fhir/fhir", "http://inner/fhir/fhir?p=1", "https://gate/fhir?p=1"),
    ("https://gate/fhir", "http://inner/fhir/fhir", "http://inner:80/fhir/fhir?p=1", "https://gate/fhir?p=1"),
    # a base that it calls its own, and that can be none
    ("http://host/fhir", "http://[", "http://host/fhir?p=1", "http://host/fhir?p=1"),
    ("http://host/fhir", "http://inner:port/fhir", "http://host/fhir?p=1", "http://host/fhir?p=1"),
    ("http://host/fhir", "", "http://host/fhir?p=1", "http://host/fhir?p=1"),
    ("http://host/fhir", "not a URL", "http://host/fhir?p=1", "http://host/fhir?p=1"),
]


@pytest.mark.parametrize(("base", "inner", "link", "asked"), BASES)
def test_bases_are_compared_as_origins(base, inner, link, asked):
    """Default ports, and a proxy that puts a path before the server's, or takes one away."""
    assert followed(base, f"{base}/Patient?x=1", link, inner) == asked


@given(
    link=st.text(max_size=40) | st.from_regex(r"(http:|ftp:)?//[^/]{0,10}/.{0,20}"),
    inner=st.none() | st.text(max_size=20),
)
def test_no_link_leads_elsewhere(link, inner):
    """Whatever it is: the URL is below the base, or there is a PagingError."""
    try:
        asked = followed(BASE, ASKED, link, inner)
    except PagingError:
        return
    assert urlsplit(asked).netloc == "fhir.example.org:8080"
    assert asked == BASE or asked.removeprefix(BASE)[0] in "/?"
