"""What FHIR servers answer: read where R4 leaves elements out, and a ValueError where the shape is another."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clients.fhir.answers import (
    CapabilityStatement,
    Page,
    entries_of,
    is_done,
    is_throttled,
    made_relative,
    page_of,
    resource_of,
    statement_of,
    version_of,
    written_of,
)
from shared.clients.fhir.outcomes import refusal_of
from shared.model.fhir import Written


def statement(*codes, **more):
    interactions = [{"code": code} for code in codes]
    return {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", "interaction": interactions}],
    } | more


SERVER = {"mode": "server", "interaction": [{"code": "transaction"}]}
CLIENT = {"mode": "client", "interaction": [{"code": "batch"}]}

STATEMENTS = [
    # content, what is read
    (statement("transaction", "batch"), CapabilityStatement("4.0.1", None, None, transactions=True, batches=True)),
    (statement("transaction"), CapabilityStatement("4.0.1", None, None, transactions=True, batches=None)),
    (statement("batch"), CapabilityStatement("4.0.1", None, None, transactions=False, batches=True)),
    (statement(), CapabilityStatement("4.0.1", None, None, transactions=None, batches=None)),
    (statement(rest=None), CapabilityStatement("4.0.1", None, None, transactions=None, batches=None)),
    (statement(rest=[CLIENT, SERVER]), CapabilityStatement("4.0.1", None, None, transactions=True, batches=None)),
    (statement(rest=[CLIENT]), CapabilityStatement("4.0.1", None, None, transactions=None, batches=None)),
    (statement(rest=[{"interaction": [{"code": "batch"}]}]), CapabilityStatement("4.0.1", None, None, False, True)),
    (statement(rest=[{"interaction": [{"code": ["transaction"]}, {}, 7]}]), CapabilityStatement("4.0.1", None, None, False, None)),
    (statement(software={"name": "HAPI", "version": "8.8"}), CapabilityStatement("4.0.1", "HAPI 8.8", None, None, None)),
    (statement(software={"name": "HAPI"}), CapabilityStatement("4.0.1", "HAPI", None, None, None)),
    (statement(software={"version": "8.8"}), CapabilityStatement("4.0.1", "8.8", None, None, None)),
    (statement(software=[]), CapabilityStatement("4.0.1", None, None, None, None)),
    (statement(software={"name": "Roe^Kim", "version": "8.8"}), CapabilityStatement("4.0.1", "8.8", None, None, None)),
    (statement(software={"name": "HAPI", "version": "8\nRoe"}), CapabilityStatement("4.0.1", "HAPI", None, None, None)),
    (statement(software={"name": "H" * 101, "version": ["8.8"]}), CapabilityStatement("4.0.1", None, None, None, None)),
    (statement(software={"name": "IRIS for UNIX (x86-64) 2023.1, 17:36:18 EDT"}), CapabilityStatement("4.0.1", "IRIS for UNIX (x86-64) 2023.1, 17:36:18 EDT", None, None, None)),
    (statement(fhirVersion="5.0.0-draft-final"), CapabilityStatement("5.0.0-draft-final", None, None, None, None)),
    (statement(fhirVersion="4.0"), CapabilityStatement("4.0", None, None, None, None)),
    (statement(fhirVersion="4.0.1-roe"), CapabilityStatement("of no known form", None, None, None, None)),
    (statement(fhirVersion="19010203"), CapabilityStatement("of no known form", None, None, None, None)),
    (statement(fhirVersion=["4.0.1"]), CapabilityStatement("of no known form", None, None, None, None)),
    (statement(fhirVersion=None), CapabilityStatement("none", None, None, None, None)),
    (statement(implementation={"url": "http://inner"}), CapabilityStatement("4.0.1", None, "http://inner", None, None)),
    (statement(implementation={"url": 7}), CapabilityStatement("4.0.1", None, None, None, None)),
    (statement(implementation="http://inner"), CapabilityStatement("4.0.1", None, None, None, None)),
    ({"resourceType": "CapabilityStatement"}, CapabilityStatement("none", None, None, None, None)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "read"), STATEMENTS, ids=str)
def test_a_statement(content, read):
    """Of the server's own `rest`; what it does not say is None, and no reason to think that it does not do it."""
    assert statement_of(content) == read


def bundle(*resources, **more):
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]} | more


def patient(id_="1", **more):
    return {"resourceType": "Patient", "id": id_} | more


PAGES = [
    # content, what is read
    (bundle(patient("1"), patient("2"), total=2), Page([patient("1"), patient("2")], None, 2)),
    (bundle(), Page([], None, 0)),
    ({"resourceType": "Bundle"}, Page([], None, 0)),
    ({"resourceType": "Bundle", "entry": None, "link": None}, Page([], None, 0)),
    (bundle({"resourceType": "OperationOutcome"}, patient()), Page([patient()], None, 0)),
    (bundle(None, "x", {}, patient()), Page([patient()], None, 0)),
    (bundle(link=[{"relation": "self", "url": "s"}, {"relation": "next", "url": "n"}]), Page([], "n", 0)),
    (bundle(link=[{"relation": "next", "url": 7}]), Page([], None, 0)),
    (bundle(link=[{"relation": "next"}]), Page([], None, 0)),
    (bundle(link={"relation": "next", "url": "n"}), Page([], None, 0)),
    (bundle(total="2"), Page([], None, 0)),
]


@pytest.mark.parametrize(("content", "read"), PAGES, ids=str)
def test_a_page(content, read):
    """Resources of the type that was asked for; the link to the next, and how many there are, where that is told."""
    assert page_of(content, "Patient") == read


MADE = Written(created=True, reference="Patient/7", version="2")

ENTRIES = [
    # Bundle.entry.response, entry.resource, what is read
    ({"status": "201 Created", "location": "Patient/7/_history/2", "etag": 'W/"2"'}, None, MADE),
    ({"status": "201", "location": "http://inner:8080/r4/Patient/7/_history/2"}, None, MADE),
    ({"status": 201, "location": "Patient/7/_history/2"}, None, MADE),
    ({"status": "201", "location": "/r4/Patient/7", "etag": 'W/"2"'}, None, MADE),
    ({"status": "201", "location": "Patient/7", "etag": '"2"'}, None, MADE),
    ({"status": "201", "location": "Patient/7", "etag": "2"}, None, MADE),
    ({"status": "201", "location": "Patient/7"}, None, Written(True, "Patient/7", None)),
    ({"status": "201", "location": "Patient/7", "etag": None}, None, Written(True, "Patient/7", None)),
    ({"status": "201", "location": "Patient/7", "etag": 'W/"2'}, None, MADE),
    ({"status": "201", "location": "Patient/7", "etag": "not a version"}, None, Written(True, "Patient/7", None)),
    ({"status": "201", "etag": 'W/"2"'}, patient("7"), MADE),
    ({"status": "201", "location": None, "etag": 'W/"2"'}, patient("7"), MADE),
    ({"status": "201", "location": ["Patient/7"], "etag": 'W/"2"'}, patient("7"), MADE),
    ({"status": "201", "location": "elsewhere", "etag": 'W/"2"'}, patient("7"), MADE),
    ({"status": "201", "location": "Patient/7/_history/2"}, patient("8"), MADE),
    ({"status": "201"}, None, Written(True, None, None)),
    ({"status": "201"}, {"resourceType": "Patient"}, Written(True, None, None)),
    ({"status": "200 OK", "location": "Patient/7/_history/2"}, None, Written(False, "Patient/7", "2")),
    ({"status": "204"}, None, Written(False, None, None)),
]


@pytest.mark.parametrize(("response", "resource", "read"), ENTRIES, ids=str)
def test_an_entry_of_a_transactions_answer(response, resource, read):
    """Reference and version by `location`, `etag` or the resource itself, as the server likes; None where by none."""
    assert written_of({"response": response} | ({"resource": resource} if resource else {})) == read


@pytest.mark.parametrize("response", [None, "201", {}, {"status": None}, {"status": ""}, {"status": " "}, {"status": "412"}, {"status": "Created"}, {"status": ["201"]}], ids=str)  # fmt: skip
def test_an_entry_that_does_not_say_that_it_was_done(response):
    """It may have been or not: to be read again."""
    with pytest.raises(ValueError, match="does not say"):
        written_of({"response": response})


@pytest.mark.parametrize(("etag", "version"), [('W/"2"', "2"), ('"2"', "2"), ("2", "2"), ('W/"a-b.c"', "a-b.c"), ("", None), ("*", None), ("None of these", None)])  # fmt: skip
def test_the_version_that_an_etag_names(etag, version):
    """Weak, strong, or without its quotation marks."""
    assert version_of(etag) == version


@pytest.mark.parametrize(
    ("status", "done", "throttled"),
    [("200 OK", True, False), ("200", True, False), (200, True, False), ("429 Too Many Requests", False, True), (429, False, True), ("404", False, False), (None, False, False)],
)  # fmt: skip
def test_an_entry_of_a_batchs_answer(status, done, throttled):
    """By its status, with its reason or without."""
    entry = {"response": {"status": status}}
    assert (is_done(entry), is_throttled(entry)) == (done, throttled)
    assert not is_done({"response": status})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def shaped(names, value, depth=2):
    """Objects with these names, whose values are anything, or lists of such objects."""
    inner = JSON if depth == 0 else JSON | shaped(names, value, depth - 1) | st.lists(shaped(names, value, depth - 1), max_size=2)  # fmt: skip
    return st.dictionaries(st.sampled_from(names), value | inner, max_size=len(names))


STATEMENT = shaped(["fhirVersion", "software", "implementation", "url", "name", "rest", "mode", "interaction", "code"], st.just("server"))  # fmt: skip
PAGE = shaped(["entry", "resource", "resourceType", "id", "meta", "identifier", "link", "relation", "url", "total"], st.sampled_from(["Patient", "next", "Bundle"]))  # fmt: skip
ANSWER = shaped(["response", "status", "location", "etag", "resource", "resourceType", "id"], st.sampled_from(["201 Created", "Patient/7", 'W/"2"']))  # fmt: skip
OUTCOME = shaped(["issue", "severity", "code", "details", "text", "diagnostics", "expression", "location"], st.just("Patient/7"))  # fmt: skip

READERS = [
    # name, what is given, the reader
    ("statement", STATEMENT, lambda one: statement_of({"resourceType": "CapabilityStatement"} | one)),
    ("another statement", STATEMENT, statement_of),
    ("page", PAGE, lambda one: page_of(one | {"resourceType": "Bundle"}, "Patient")),
    ("another page", PAGE, lambda one: page_of(one, "Patient")),
    ("resource", PAGE, lambda one: resource_of(one | {"resourceType": "Patient"}, "Patient")),
    ("entries", PAGE, lambda one: entries_of(one, 1)),
    ("written", ANSWER, written_of),
    ("is done", ANSWER, is_done),
    ("is throttled", ANSWER, is_throttled),
    ("refusal", OUTCOME, lambda one: refusal_of({"resourceType": "OperationOutcome"} | one)),
    ("another refusal", JSON, refusal_of),
]


@pytest.mark.parametrize(("name", "given_", "reader"), READERS, ids=[row[0] for row in READERS])
def test_any_json_is_read_or_a_value_error(name, given_, reader):
    """What the server means by it is unknown; it is told as that, never as a fault of ours."""

    @given(given_)
    def read(content):
        with suppress(ValueError):
            reader(content)

    read()


FOUND = [
    # a resource that a search or a read gives, what is wrong with it
    ({"resourceType": "Patient"}, "without an id"),
    (patient(7), "without an id"),
    (patient(""), "without an id"),
    (patient("../Observation/1"), "without an id"),
]


@pytest.mark.parametrize(("resource", "told"), FOUND, ids=str)
def test_a_resource_of_another_shape(resource, told):
    """Without what tells it from others it is of no use, and is not passed on."""
    with pytest.raises(ValueError, match=told):
        page_of(bundle(resource), "Patient")
    with pytest.raises(ValueError, match=told):
        resource_of(resource, "Patient")


OWN, BASES = "https://fhir.example.org/r4", ("https://fhir.example.org/r4/", "http://inner:8080", None)

REFERENCES = [
    # reference, what is read of it
    (f"{OWN}/Patient/7", "Patient/7"),
    ("HTTPS://FHIR.example.org/r4/Patient/7", "Patient/7"),
    ("http://inner:8080/Patient/7/_history/2", "Patient/7/_history/2"),
    ("https://elsewhere.example.org/r4/Patient/7", "https://elsewhere.example.org/r4/Patient/7"),
    ("https://fhir.example.org/r4x/Patient/7", "https://fhir.example.org/r4x/Patient/7"),
    ("Patient/7", "Patient/7"),
    ("urn:uuid:7", "urn:uuid:7"),
    ({"x": 1}, {"x": 1}),
    (None, None),
]


@pytest.mark.parametrize(("reference", "read"), REFERENCES, ids=str)
def test_references_to_the_server_itself_are_relative(reference, read):
    """Another server's Patient/7 is another."""

    def linking(told):
        link = {"reference": told}
        return {
            "subject": dict(link), "endpoint": [dict(link), None], "partOf": [dict(link)], "derivedFrom": {},
            "series": [None, {"endpoint": [dict(link)]}], "link": [{"other": dict(link)}, {"other": 7}, 7],
        }  # fmt: skip

    assert made_relative(linking(reference), BASES) == linking(read)


def test_a_read_of_another_type_is_none():
    """An OperationOutcome with status 200, as some answer."""
    with pytest.raises(ValueError, match="no Patient"):
        resource_of({"resourceType": "OperationOutcome", "id": "1"}, "Patient")


@pytest.mark.parametrize("entry", [None, [], [{}], [{}, {}, {}], [{}, None], {"0": {}, "1": {}}], ids=str)
def test_an_answer_of_another_count(entry):
    """Which answer belongs to which entry is not known then."""
    with pytest.raises(ValueError, match="in answer to 2"):
        entries_of({"entry": entry}, 2)
