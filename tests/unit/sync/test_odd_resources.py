"""What FHIR holds is not trusted to be well-formed: it is synced, and what is not understood stays; or a row names it."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.transaction import reference_of
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable
from shared.model.fhir import Written
from shared.model.watermark import Watermark
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.dose_reports import ct, ct_event
from tests.fakes import INSTANCE, SERIES, STUDY, FakeArchive, FakeFhir, entry, ports, report_entry

URL = "https://dicom.example.org"
OPTIONS = MappingOptions(URL, generate_observations=True)
META = {"versionId": "1", "source": "https://ris.example.org"}
UID = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
DCM = "http://dicom.nema.org/resources/ontology/DCM"
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


class Answering(FakeFhir):
    """Finds all that it holds of a type, whatever it looks like, and applies no more than what is asked for."""

    def found(self, resource_type, query):
        return copy.deepcopy([one for one in self.resources if one["resourceType"] == resource_type])

    def transact(self, bundle):
        self.bundles.append(copy.deepcopy(bundle))
        written = []
        for number, one in enumerate(bundle["entry"]):
            request, resource = one["request"], one.get("resource")
            if request["method"] == "POST":
                reference = f"{request['url']}/new-{len(self.bundles)}-{number}"
                made = resource | {"id": reference.split("/")[1], "meta": resource.get("meta", {}) | {"versionId": "1"}}
                self.resources.append(made)
                written.append(Written(True, reference, "1"))
                continue
            self.resources = [held for held in self.resources if reference_of(held) != request["url"]]
            if request["method"] == "PUT":
                self.resources.append(resource)
            written.append(Written(False, request["url"], "1"))
        return written


def study(**elements):
    return {"resourceType": "ImagingStudy", "id": "1", "meta": META, "identifier": [UID], **elements}


def patient(id_="1", **elements):
    return {
        "resourceType": "Patient",
        "id": id_,
        "meta": {"versionId": "1"},
        "identifier": [{"value": "P-1"}],
        **elements,
    }


def sync(entries, *resources):
    """What came of it, and the server."""
    fhir = Answering(resources=copy.deepcopy(list(resources)))
    archive = FakeArchive({STUDY: [one for one in entries if one.metadata]})
    fakes = ports(fhir=fhir, archive=archive)
    fakes.feed_order.begin(Watermark(), [one.sequence for one in entries])
    (outcome,) = StudySync(fakes, OPTIONS).run_all([Study(entries)])
    return outcome, fhir


def held(fhir, kind, id_="1"):
    return next((one for one in fhir.resources if (one["resourceType"], one["id"]) == (kind, id_)), None)


CT = {"system": DCM, "code": "CT"}
NO_UID = {"_uid": ABSENT, "modality": {"system": DCM, "code": "MR"}, "instance": [{"_uid": ABSENT}]}

STUDIES = [
    # an element that the study has, and what is in it still once an instance is stored
    ({"series": [NO_UID]}, lambda now: now["series"][0] == NO_UID and now["series"][1]["uid"] == SERIES),
    ({"series": [None, {"uid": SERIES, "modality": CT, "instance": [None, {"_uid": ABSENT}]}]}, lambda now: now["series"][1]["instance"][:2] == [None, {"_uid": ABSENT}] and now["series"][0] is None),
    ({"series": [NO_UID], "modality": [{"system": DCM, "code": "MR"}]}, lambda now: now["modality"] == [{"system": DCM, "code": "MR"}, CT]),
    ({"series": [{"uid": "1.9", "modality": None}]}, lambda now: now["series"][0] == {"uid": "1.9", "modality": None}),
    ({"series": [{"uid": "1.9", "modality": {}}]}, lambda now: now["modality"] == [CT]),
    ({"series": [{"uid": "1.9", "modality": {"system": "http://snomed.info/sct", "code": "77477000"}}]}, lambda now: now["modality"] == [CT]),
    ({"series": [{"uid": "1.9", "modality": {"system": "DCM", "code": "MR"}}]}, lambda now: now["modality"] == [{"system": DCM, "code": "MR"}, CT]),
    ({"note": {"text": "x"}}, lambda now: now["note"] == {"text": "x"}),
    ({"procedureCode": [None], "endpoint": None, "referrer": "x"}, lambda now: now["procedureCode"] == [None] and now["referrer"] == "x"),
    ({"extension": {"url": "x"}}, lambda now: now["extension"] == {"url": "x"}),
    ({"subject": "Patient/1"}, lambda now: now["subject"] == {"reference": "Patient/1"}),
]  # fmt: skip


@pytest.mark.parametrize(("elements", "is_kept"), STUDIES, ids=[str(row[0]) for row in STUDIES])
@pytest.mark.parametrize("action", Action)
def test_a_study_with_what_nobody_expects_is_synced(elements, is_kept, action):
    """By a create, an update and a delete; what is not understood stays, and a second run writes nothing."""
    first, second = entry(1), entry(2, instance=f"{INSTANCE}.2", t00081030="Chest")
    gone = entry(3, Action.DELETE, state=State.DELETED)
    entries = [second, gone] if action is Action.DELETE else [entry(1, action), second]
    outcome, fhir = sync(entries if action is Action.DELETE else [first, *entries], study(**elements), patient())
    assert not outcome.failures
    assert is_kept(held(fhir, "ImagingStudy")), held(fhir, "ImagingStudy")
    before = copy.deepcopy(fhir.resources)
    again, fhir = sync(entries, *before)
    assert (again.failures, fhir.bundles) == ((), [])


IMPOSSIBLE = [
    (study(series="x"), "ImagingStudy/1: ImagingStudy.series is no list"),
    (study(series={"uid": SERIES}), "ImagingStudy/1: ImagingStudy.series is no list"),
    (study(identifier=UID), "ImagingStudy/1: ImagingStudy.identifier is no list"),
    (patient(identifier={"value": "P-1"}), "Patient/1: Patient.identifier is no list"),
    (patient(meta=None), "Patient/1: Patient.meta is no object"),
]


@pytest.mark.parametrize(("resource", "message"), IMPOSSIBLE, ids=[row[1] for row in IMPOSSIBLE])
def test_what_nothing_can_be_merged_with_is_a_row(resource, message):
    """Nothing is written; another study is."""
    outcome, fhir = sync([entry(1)], resource)
    assert [(one.table, one.exception, one.message.split(", and")[0]) for one in outcome.failures] == [
        (ErrorTable.FHIR, "MalformedResourceError", message)
    ]
    assert resource in fhir.resources


NAMES = [
    # the Patient's name, DICOM's, the name after
    ([None, {"use": "usual", "family": "A"}], "B", [None, {"use": "usual", "family": "B"}]),
    ([{"use": "usual", "family": "A", "extension": [None]}], "B", [{"use": "usual", "family": "B", "extension": [None]}]),
    ([{"use": "usual", "family": "A", "_family": ABSENT}], "B", [{"use": "usual", "family": "B"}]),
    ([{"use": "usual", "family": "A", "_family": ABSENT, "given": ["C"]}], "A^D", [{"use": "usual", "family": "A", "_family": ABSENT, "given": ["D"]}]),
    ([{"use": "usual", "family": "A", "given": ["B", None, "C"], "_given": [None, ABSENT, None]}], "A^D", [{"use": "usual", "family": "A", "given": ["D"]}]),
    ([{"use": "usual", "family": "A", "given": ["B", None, "C"], "_given": [None, ABSENT, None]}], "A^B^C", [{"use": "usual", "family": "A", "given": ["B", None, "C"], "_given": [None, ABSENT, None]}]),
    ([{"use": "usual", "family": "A", "given": ["B"], "_given": [ABSENT]}], "A", [{"use": "usual", "family": "A"}]),
    ({"use": "usual"}, "B", {"use": "usual"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "dicom", "after"), NAMES, ids=[str(row[0]) for row in NAMES])
def test_a_name_that_changes_takes_its_extensions_along(name, dicom, after):
    """Those of parts that stay stay, and arrays stay aligned (json.html#primitive)."""
    told = {"vr": "PN", "Value": [{"Alphabetic": dicom}]}
    outcome, fhir = sync([entry(1, t00100010=told)], patient(name=name))
    assert (outcome.failures, held(fhir, "Patient")["name"]) == ((), after)


def test_a_value_that_changes_takes_its_extensions_along():
    """`_gender` of a Patient; `_started`, `_description` of a study and its series; `_number` of an instance."""
    series = {"uid": SERIES, "_number": ABSENT, "modality": CT, "instance": [{"uid": INSTANCE, "_number": ABSENT, "_title": ABSENT}]}  # fmt: skip
    said = study(series=[series], _started=ABSENT, _description=ABSENT, _x=ABSENT, status="available", _status=ABSENT)
    tags = {"t00080020": "20240101", "t00081030": "Chest", "t00200011": "7", "t00200013": "3", "t00100040": "F"}
    _, fhir = sync([entry(1, Action.UPDATE, **tags)], said, patient(_gender=ABSENT))
    now, of_patient = held(fhir, "ImagingStudy"), held(fhir, "Patient")
    assert of_patient["gender"] == "female"
    assert "_gender" not in of_patient
    assert {name for name in now if name.startswith("_")} == {"_x", "_status"}
    assert {name for name in now["series"][0] if name.startswith("_")} == set()
    assert {name for name in now["series"][0]["instance"][0] if name.startswith("_")} == {"_title"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.just(SERIES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["uid", "system", "code", "coding", "value", "reference", "url", "tag", "type", "extension", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


def with_json(value, path, json, *, is_added):
    """The value with JSON at a place: in place of what is there, or put into the list or object."""
    if not path:
        if is_added and isinstance(value, list):
            return [json, *value]
        return {**value, "x": json} if is_added and isinstance(value, dict) else json
    changed = copy.copy(value)
    changed[path[0]] = with_json(value[path[0]], path[1:], json, is_added=is_added)
    return changed


REPORT = ct(ct_event(1))
REPORTED = report_entry(REPORT)
STORED = sync([REPORTED])[1].resources
PLACES = [
    (at, path)
    for at, one in enumerate(STORED)
    for path in places(one)
    # Without a version nothing is safe to write, and that is the server's fault: an outage.
    if path and path[0] not in ("id", "resourceType") and path not in (("meta",), ("meta", "versionId"))
]


def check(at, path, json, action, *, is_added):
    resources = [with_json(one, path, json, is_added=is_added) if at == n else one for n, one in enumerate(STORED)]
    resources = [one | {"theirs": [None, {"x": 1}]} for one in resources]
    uids = {"study": REPORTED.study_instance_uid, "series": REPORTED.series_instance_uid}
    deleted = entry(2, Action.DELETE, state=State.DELETED, instance=REPORTED.sop_instance_uid, **uids)
    changed = deleted if action is Action.DELETE else report_entry(REPORT, 2, action)
    outcome, fhir = sync([changed, entry(3, instance="1.2.9.9", **uids)], *resources)
    assert isinstance(outcome, TransientError) or not any(one.is_unforeseen for one in outcome.failures)
    assert all(one["theirs"] == [None, {"x": 1}] for one in fhir.resources if "theirs" in one)
    assert {reference_of(one) for one in resources} <= {reference_of(one) for one in fhir.resources}


ODD = [None, True, 7, "x", [], {}, [None], [[]], {"code": [1]}, {"coding": [None, {"code": []}]}, {"reference": [7]}]


@pytest.mark.parametrize("action", [Action.CREATE, Action.DELETE])
@pytest.mark.parametrize("json", ODD, ids=str)
def test_odd_json_everywhere(json, action):
    """In each place in turn: the study is synced, or a named error tells why; what is not ours is there still."""
    for at, path in PLACES:
        check(at, path, json, action, is_added=False)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JSON, st.booleans(), st.sampled_from(Action))
def test_arbitrary_json_anywhere(place, json, is_added, action):
    """The same of any JSON, in place of what is there or beside it."""
    check(*place, json, action, is_added=is_added)
