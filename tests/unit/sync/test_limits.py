"""What a server takes: groups are halved, a large report goes in parts, what was too large is remembered."""

import json

import pytest

from shared.clients.fhir.capabilities import LearnedCapabilities
from shared.clients.json_body import json_bytes
from shared.errors import FhirRefusedError, PagingError, ThrottledError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.transact.task import StudyResult
from tests.dose_reports import ct, ct_event
from tests.fakes import FakeFhir, entry, is_of_endpoint, ports, report_entry

OPTIONS = MappingOptions("https://dicom.example.org", generate_observations=True)


class Limited(FakeFhir):
    """Takes so many entries with a conditional create, and so many without; it learns as the client does.

    `bad`: what speaks of it is refused, whatever its size. `linked`: nothing is deleted that an Observation links to.
    """

    def __init__(self, conditional=500, plain=500, bad=None, *, linked=False):
        super().__init__()
        self.limit = {True: conditional, False: plain}
        self.bad, self.linked = bad, linked
        self.learned = LearnedCapabilities()
        self.refused = []

    def transact(self, bundle):
        size, kind = len(bundle["entry"]), any("ifNoneExist" in one["request"] for one in bundle["entry"])
        is_limit = size > self.limit[kind]
        if is_limit or (self.bad and self.bad in json_bytes(bundle).decode()):
            self.refused.append(size)
            raise FhirRefusedError(
                "400", may_be_limit=size > 3 and size > self.learned.known.limit(conditional=kind).taken
            )
        if self.linked:
            self.check_links(bundle)
        written = super().transact(bundle)
        self.learned.learn_taken(size, conditional=kind)
        return written

    def check_links(self, bundle):
        gone = {one["request"]["url"] for one in bundle["entry"] if one["request"]["method"] == "DELETE"}
        left = [one for one in self.resources if f"{one['resourceType']}/{one['id']}" not in gone]
        linked = {one["reference"] for held in left for one in held.get("derivedFrom", [])}
        if gone & linked:
            raise FhirRefusedError("409")

    def most_entries(self, *, conditional):
        return self.learned.known.limit(conditional=conditional).most

    def too_many_entries(self, size, *, conditional):
        self.learned.learn_too_many(size, conditional=conditional)

    def held(self, resource_type):
        return [one for one in self.resources if one["resourceType"] == resource_type]

    def sizes(self):
        return [len(bundle["entry"]) for bundle in self.bundles]


def report(number=1, events=20, **more):
    """The entry of a dose report of so many events, of a study and a patient of its own."""
    made = ct(
        ct_event(1, event_uid="1.2.9"),
        PatientID=f"R-{number}",
        StudyInstanceUID=f"1.7.{number}",
        SOPInstanceUID=f"1.7.{number}.1",
    )
    items = made["0040A730"]["Value"]
    event = json.dumps(items.pop())
    items += [json.loads(event.replace('"1.2.9"', f'"1.2.9.{number}.{one}"')) for one in range(events)]
    return report_entry(made, **more)


def gone(created):
    return entry(
        9,
        Action.DELETE,
        state=State.DELETED,
        study=created.study_instance_uid,
        series=created.series_instance_uid,
        instance=created.sop_instance_uid,
    )


def small(number, **tags):
    return Study([entry(number, study=f"1.8.{number}", instance=f"1.8.{number}.1", t00100020=f"P-{number}", **tags)])


def run(fhir, *studies, made=None):
    told = [entry for study in studies for entry in study.entries]
    return StudySync(made or ports(told, fhir=fhir), OPTIONS).run_all(list(studies))


def all_well(outcomes):
    return all(isinstance(one, StudyResult) and one.wrote and not one.failures for one in outcomes)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 8, 12, 22, 23])
def test_a_report_in_parts(limit):
    """Of 21 Observations: whatever is taken, all are there once, linked to what the first part has made."""
    fhir = Limited(limit, limit)
    if limit < 4:  # what no refusal could be told from: the server says so by itself
        fhir.learned.learn_too_many(limit + 1, conditional=True)
        fhir.learned.learn_taken(limit, conditional=True)
    assert all_well(run(fhir, Study([report()])))
    assert (len(fhir.held("Patient")), len(fhir.held("ImagingStudy")), len(fhir.held("Observation"))) == (1, 1, 21)
    assert {one["derivedFrom"][0]["reference"] for one in fhir.held("Observation")} == {"ImagingStudy/1"}
    assert max(fhir.sizes()) <= limit
    assert not run(fhir, Study([report()]))[0].wrote


def test_what_a_report_paid_for_is_remembered():
    """By its kind; the next of its size is in parts from the beginning, in a group too."""
    fhir = Limited(conditional=8)
    run(fhir, Study([report(1)]))
    assert fhir.refused
    assert 4 <= fhir.most_entries(conditional=True) <= 8
    assert fhir.most_entries(conditional=False) == 500
    fhir.refused.clear()
    assert all_well(run(fhir, Study([report(2)])))
    assert all_well(run(fhir, Study([report(3)]), small(1), Study([report(4)])))
    assert fhir.refused == []


def test_a_refusal_of_content_is_no_limit():
    """Its parts are refused too: nothing is learned, and the entry has its row."""
    fhir = Limited(bad="1.7.1")
    (outcome,) = run(fhir, Study([report()]))
    assert [(row.table, row.sequence) for row in outcome.failures] == [(ErrorTable.FHIR, 1)]
    assert fhir.learned.known.conditional.refused is None
    assert fhir.resources == fhir.held("Endpoint")


@pytest.mark.parametrize("limit", [500, 8])
def test_what_goes_goes_after_what_links_to_it(limit):
    """Servers keep what an Observation links to: in one transaction they go together, in parts the Observations first."""
    fhir = Limited(limit, limit, linked=True)
    made = report()
    run(fhir, Study([made]))
    assert all_well(run(fhir, Study([gone(made)])))
    assert {one["resourceType"] for one in fhir.resources} == {"Patient", "Endpoint"}


def test_a_crash_between_two_parts():
    """Not done: another host finds what is there, and makes the rest."""

    class Crashing(Limited):
        def transact(self, bundle):
            if "Observation" in [one["request"]["url"] for one in bundle["entry"]] and not self.bad:
                self.bad = "never"
                raise TransientError("503")
            return super().transact(bundle)

    fhir = Crashing(8)
    fhir.learned.learn_too_many(9, conditional=True)
    fhir.learned.learn_taken(8, conditional=True)
    (outcome,) = run(fhir, Study([report()]))
    assert isinstance(outcome, TransientError)
    assert (len(fhir.held("ImagingStudy")), fhir.held("Observation")) == (1, [])
    assert all_well(run(fhir, Study([report()])))
    assert len(fhir.held("Observation")) == 21
    assert {one["meta"]["versionId"] for one in fhir.resources} == {"1"}


def test_what_is_written_and_not_there_ends():
    """A server that says yes to everything and keeps nothing is no endless loop."""

    class Forgetful(Limited):
        def transact(self, bundle):
            answers = super().transact(bundle)
            self.resources = [one for one in self.resources if one["resourceType"] != "Observation"]
            return answers

    fhir = Forgetful(8)
    fhir.learned.learn_too_many(9, conditional=True)
    fhir.learned.learn_taken(8, conditional=True)
    (outcome,) = run(fhir, Study([report()]))
    assert isinstance(outcome, TransientError)
    assert "not there when it is read again" in str(outcome)
    assert len(fhir.bundles) <= 3


@pytest.mark.parametrize("limit", [4, 5, 16])
def test_a_group_that_is_too_large_is_halved(limit):
    """Each study is there once, and what was taken and refused is known: the next group fits from the beginning."""
    fhir = Limited(limit)
    assert all_well(run(fhir, *(small(number) for number in range(1, 21))))
    assert len(fhir.held("ImagingStudy")) == 20
    assert max(fhir.sizes()) <= limit
    known = fhir.learned.known.conditional
    assert known.taken <= limit < known.refused
    fhir.refused.clear()
    assert all_well(run(fhir, *(small(number) for number in range(21, 41))))
    assert fhir.refused == []


def test_one_bad_study_of_a_group_is_no_limit():
    """It is found by halving; the others are written, and the next group is as large."""
    fhir = Limited(bad="1.8.7.1")
    outcomes = run(fhir, *(small(number) for number in range(1, 21)))
    assert [number for number, one in enumerate(outcomes, 1) if one.failures] == [7]
    assert len(fhir.held("ImagingStudy")) == 19
    assert fhir.learned.known.conditional.refused is None
    assert len(fhir.refused) <= 6


def test_a_bad_study_in_a_group_that_is_too_large():
    """What was refused of the halves with it says nothing of their size; those without it still teach."""
    fhir = Limited(conditional=12, bad="1.8.7.1")
    outcomes = run(fhir, *(small(number) for number in range(1, 21)))
    assert [number for number, one in enumerate(outcomes, 1) if one.failures] == [7]
    assert len(fhir.held("ImagingStudy")) == 19
    assert (fhir.learned.known.conditional.refused or 500) > 12


def test_an_hour_later_more_is_tried():
    """What was refused is forgotten; what is refused again counts again."""
    now = 0.0
    fhir = Limited(8)
    fhir.learned = LearnedCapabilities(lambda: now)
    run(fhir, *(small(number) for number in range(1, 21)))
    fhir.refused.clear()
    now = 3601.0
    fhir.limit[True] = 500
    assert all_well(run(fhir, *(small(number) for number in range(21, 41))))
    assert (fhir.refused, max(fhir.sizes())) == ([], 40)


def test_a_group_that_is_throttled_stays_together():
    """It is tried again, later: not taken apart into more requests, whether its searches or its writes were throttled."""
    for part in ("search_many", "transact"):

        class Throttling(Limited):
            def __init__(self, part):
                super().__init__()
                self.part, self.asked = part, 0

            def search_many(self, searches):
                self.asked += 1
                if self.part == "search_many":
                    raise ThrottledError("429", 7.0)
                return super().search_many(searches)

            def transact(self, bundle):
                self.asked += not is_of_endpoint(bundle)
                if self.part == "transact" and not is_of_endpoint(bundle):
                    raise ThrottledError("429", 7.0)
                return super().transact(bundle)

        fhir = Throttling(part)
        outcomes = run(fhir, *(small(number) for number in range(1, 6)))
        assert [type(one) for one in outcomes] == [ThrottledError] * 5
        assert fhir.asked == (1 if part == "search_many" else 2)


@pytest.mark.parametrize(
    "error", [PagingError("no next page"), FhirRefusedError("status 400")], ids=["pages", "refused"]
)
def test_a_search_that_is_refused_harms_its_own_study(error):
    """Also where it was made with others': each is asked by itself then, and the study has its row."""

    class Picky(Limited):
        def search(self, resource_type, query):
            if "P-3" in query:
                raise error
            return super().search(resource_type, query)

    fhir = Picky()
    outcomes = run(fhir, *(small(number) for number in range(1, 6)))
    assert [[row.exception for row in one.failures] for one in outcomes] == [[], [], [type(error).__name__], [], []]
    assert len(fhir.held("ImagingStudy")) == 4
