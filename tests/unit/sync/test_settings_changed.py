"""What stands in FHIR once a setting has changed after a study was written: for each setting, in each direction.

By three roads: the next instance of the study comes, its entries are replayed, it is rebuilt. What a fresh FHIR server
would hold is the measure, and a dry rebuild, which is the audit's, wants to change what the road has left undone alone.
"""

import copy
from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action
from shared.model.options import EndpointPayload, OrderLink
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.replay.dry_rebuild import dry_rebuild
from shared.sync.replay.dry_run_server import DryRunServer
from tests.dose_reports import ct, ct_event
from tests.fakes import SERIES, STUDY, FakeArchive, FakeFhir, entry, ports, report_entry

NEXT = "with the next instance"
SERIES_NEXT = "with the next instance of each series"
WRITE = "with the next instance, and a replay that changes nothing else does not write it"
REPORT_NEXT = "with the report's own entry: what FHIR has of doses is not looked at for other instances"
REBUILD = "when the study is rebuilt"
STAYS = "what was written stays"

BASE = MappingOptions("https://dicom.example.org")
LEFT_OUT = {"id", "meta", "extension", "subject", "numberOfSeries", "numberOfInstances"}
NORTH, SECOND, UID = "north", f"{STUDY}.5", f"urn:oid:{STUDY}"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
PATIENT = {"resourceType": "Patient", "id": "1", "meta": {"versionId": "1"}, "identifier": [{"value": "P-1"}]}
ORDER = {
    "resourceType": "ServiceRequest",
    "id": "7",
    "meta": {"versionId": "1"},
    "identifier": [{"type": ACSN, "system": "urn:a", "value": "A-1"}],
    "subject": {"reference": "Patient/1"},
    "encounter": {"reference": "Encounter/1"},
}


def of(vr, value):
    return {"vr": vr, "Value": [value]}


def item(**elements):
    return of("SQ", {tag.removeprefix("t"): of("LO", value) for tag, value in elements.items()})


CODE = item(t00080100="C1", t00080102="99SITE", t00080104="Chest CT")
SAID = {
    "t00080020": "20240506",
    "t00080050": "A-1",
    "t00080090": of("PN", {"Alphabetic": "Referring^A"}),
    "t00081030": "CT Chest",
    "t00081032": CODE,
    "t00081050": of("PN", {"Alphabetic": "Performing^A"}),
    "t00180015": of("CS", "CHEST"),
    "t00200062": of("CS", "R"),
}
REGION = {"t00082218": CODE}
ISSUER = {"t00080051": item(t00400031="HOSPITAL")}
OTHERS = {"t00101002": item(t00100020="OLD-5", t00100021="HOSPITAL")}
HOSPITAL = {"issuer_systems": {"HOSPITAL": "urn:h"}, "other_patient_ids": True}
BY_NUMBER = {"order_link": OrderLink.LINK_OR_IDENTIFIER}
DOSES = {"generate_observations": True}
REPORTED = {"held": [report_entry(ct(ct_event(1), AccessionNumber="A-1", StudyTime=None))]}
ORDERED = PATIENT, ORDER


class World:
    """A study of two series in the archive, and perhaps a dose report; FHIR follows."""

    def __init__(self, held=(), there=(), tags=(), partition="Microsoft.Default"):
        self.fhir, self.archive = FakeFhir(copy.deepcopy(list(there))), FakeArchive()
        self.place = STUDY, partition
        self._tags = {**SAID, **dict(tags)}
        self.held = self.archive.studies[STUDY] = list(held)

    def stored(self, series=SERIES):
        number = len(self.held) + 1
        new = entry(number, series=series, instance=f"{series}.{number}", **self._tags)
        self.held.append(replace(new, partition=self.place[1]))
        return self.held[-1]

    def run(self, options, study):
        """How many transactions it took."""
        before = len(self.fhir.bundles)
        StudySync(ports(fhir=self.fhir, archive=self.archive), options).run_all([study])
        return len(self.fhir.bundles) - before

    def next(self, options):
        return self.run(options, Study([self.stored()]))

    def replay(self, options):
        return self.run(options, Study(self.held, is_replayed=True))

    def rebuild(self, options):
        return self.run(options, Study(self.held, whole=self.place))

    def audit(self, options):
        """What a rebuild would write."""
        dry = DryRunServer(self.fhir)
        dry_rebuild(ports(fhir=self.fhir, archive=self.archive), options, dry, self.place, self.held, patients=False)
        return dry.writes

    def says(self, series=None):
        """What FHIR holds, each list in one order: the study and what it links to; only one series, or all.

        Without the type of its UID, which is written when a study is created and stays, and without counts (see below).
        """
        by_reference = {f"{one['resourceType']}/{one['id']}": one for one in self.fhir.resources}
        studies = [one for one in self.fhir.resources if one["resourceType"] in ("ImagingStudy", "Observation")]
        said = [(one, by_reference.get(one["subject"]["reference"])) for one in studies]
        endpoints = [one for one in self.fhir.resources if one["resourceType"] == "Endpoint"]
        return ordered([*map(bare, endpoints), *((bare(one, series), bare(patient)) for one, patient in said)])


def bare(resource, series=None):
    """Without what the server adds and the record, without the reference to the Patient, who stands beside."""
    left = {name: one for name, one in resource.items() if name not in LEFT_OUT}
    if resource["resourceType"] == "ImagingStudy":
        left["identifier"] = [one | {"type": None} if one["value"] == UID else one for one in left["identifier"]]
        listed = [one for one in left["series"] if series in (None, one["uid"])]
        left["series"] = [{name: one for name, one in each.items() if name not in LEFT_OUT} for each in listed]
    return left


def ordered(value):
    if isinstance(value, dict):
        return {name: ordered(value[name]) for name in sorted(value)}
    return sorted(map(ordered, value), key=repr) if isinstance(value, list | tuple) else value


ROWS = [
    # setting, its values, what becomes of a study: first -> second, second -> first; what else there is
    ("SnomedBodySite", ({"snomed_body_site": False}, {}), (SERIES_NEXT, SERIES_NEXT), {}),
    ("CodingSchemes", ({}, {"coding_schemes": {"99SITE": "urn:a"}}), (NEXT, NEXT), {"tags": REGION}),
    ("CodingSchemes", ({"coding_schemes": {"99SITE": "urn:a"}}, {"coding_schemes": {"99SITE": "urn:b"}}), (NEXT, NEXT), {"tags": REGION}),
    ("CodingSchemes", ({"coding_schemes": {"99SITE": "urn:a"}}, {"coding_schemes": {"99SITE": "urn:b"}}), (NEXT, NEXT), {}),
    ("AccessionSystem", ({}, {"accession_system": "urn:a"}), (NEXT, NEXT), {}),
    ("AccessionSystem", ({"accession_system": "urn:a"}, {"accession_system": "urn:b"}), (NEXT, NEXT), {"there": ORDERED}),
    ("AccessionSystem", (BY_NUMBER, {"accession_system": "urn:x", **BY_NUMBER}), (NEXT, NEXT), {}),
    ("AccessionIssuers", ({}, {"accession_issuers": {"HOSPITAL": "urn:a"}}), (NEXT, NEXT), {"tags": ISSUER}),
    ("StudyUidInPartitions", ({"study_uid_in_partitions": False}, {}), (WRITE, NEXT), {"partition": NORTH}),
    ("SeriesEndpoint", ({}, {"series_endpoint": True}), (NEXT, NEXT), {}),
    ("SeriesEndpoint", ({}, {"series_endpoint": True}), (NEXT, NEXT), {"partition": NORTH}),
    ("MaxInstancesPerStudy", ({}, {"max_instances": 1}), (NEXT, REBUILD), {}),
    ("EndpointPayload", ({}, {"endpoint_payload": EndpointPayload.NONE}), (STAYS, STAYS), {}),
    ("EndpointContact", ({}, {"endpoint_contact": "mailto:pacs@example.org"}), (STAYS, STAYS), {}),
    ("PatientSystemId", ({}, {"patient_system": "urn:a"}), (NEXT, NEXT), {}),
    ("PatientSystemId", ({"patient_system": "urn:a"}, {"patient_system": "urn:b"}), (NEXT, NEXT), {}),
    ("IsIssuerIdUsed", ({}, {"use_issuer": True}), (NEXT, NEXT), {"tags": {"t00100021": "HOSPITAL"}}),
    ("IssuerSystems", ({}, {"issuer_systems": {"HOSPITAL": "urn:h"}}), (NEXT, NEXT), {"tags": {"t00100021": "HOSPITAL"}}),
    ("IdentifierType", ({}, {"identifier_type": "MR"}), (STAYS, STAYS), {}),
    ("IdentifierType", ({**HOSPITAL, "identifier_type": "MR"}, {**HOSPITAL, "identifier_type": "PI"}), (STAYS, STAYS), {"tags": OTHERS}),
    ("IdentifierType", (HOSPITAL, {**HOSPITAL, "identifier_type": "PI"}), (STAYS, STAYS), {"tags": OTHERS}),
    ("OtherPatientIds", ({**HOSPITAL, "other_patient_ids": False}, HOSPITAL), (NEXT, STAYS), {"tags": OTHERS}),
    ("PatientSystemId", (DOSES, {**DOSES, "patient_system": "urn:a"}), (REPORT_NEXT, REPORT_NEXT), REPORTED),
    ("GenerateObservations", ({}, DOSES), (REPORT_NEXT, STAYS), REPORTED),
    ("DoseText", (DOSES, {**DOSES, "dose_text": True}), (REPORT_NEXT, REPORT_NEXT), REPORTED),
    ("AbsentPerformer", (DOSES, {**DOSES, "absent_performer": True}), (REPORT_NEXT, REPORT_NEXT), REPORTED),
    ("ViewerUrl", ({}, {"viewer_url": "https://a/{StudyInstanceUID}"}), (NEXT, NEXT), {}),
    ("ViewerUrl", ({"viewer_url": "https://a/{StudyInstanceUID}"}, {"viewer_url": "https://b/{StudyInstanceUID}"}), (NEXT, NEXT), {}),
    ("ExtendedMapping", ({"extended": False}, {}), (SERIES_NEXT, NEXT), {"there": ORDERED}),
    ("ExtendedMapping", ({"extended": False}, {}), (SERIES_NEXT, NEXT), {"tags": {"t00200062": None}}),
    ("OrderLink", ({"order_link": OrderLink.OFF}, {}), (NEXT, NEXT), {"there": ORDERED}),
    ("OrderLink", ({"order_link": OrderLink.OFF}, BY_NUMBER), (NEXT, NEXT), {}),
    ("OrderLink", ({"order_link": OrderLink.LINK}, BY_NUMBER), (NEXT, NEXT), {}),
]  # fmt: skip


def changes():
    for setting, (first, second), (there, back), world in ROWS:
        for before, after, follows in ((first, second, there), (second, first, back)):
            name = f"{setting}: {list(before.values())} -> {list(after.values())}"
            yield pytest.param(replace(BASE, **before), replace(BASE, **after), follows, world, id=name)


ROADS = World.next, World.replay, World.rebuild
FOLLOWED = {
    NEXT: ROADS,
    WRITE: ROADS[:1],
    SERIES_NEXT: ROADS[1:],
    REPORT_NEXT: ROADS[1:],
    REBUILD: ROADS[2:],
    STAYS: ROADS,
}
"""The roads by which all follows; if what was written stays, the next instance says what it said before."""


@pytest.mark.parametrize("road", ROADS, ids=lambda one: one.__name__)
@pytest.mark.parametrize(("before", "after", "follows", "given"), list(changes()))
def test_a_setting_changes(before, after, follows, given, road):
    """What is written follows as the row says; nothing is written twice, and nothing is reported for ever."""
    world = World(**given)
    world.stored(), world.stored(SECOND)
    world.run(before, Study(world.held))
    stood = world.says()
    road(world, after)
    if follows is WRITE and road is not World.next:
        assert (world.says(), world.audit(after)) == (stood, ())
        return
    fresh = World(**{**given, "held": world.held})
    fresh.run(before if follows is STAYS else after, Study(world.held))
    is_followed = road in FOLLOWED[follows]
    assert (world.says() == fresh.says()) == is_followed
    assert world.says(SERIES) == fresh.says(SERIES) or follows in (REPORT_NEXT, REBUILD)
    assert (world.audit(after) == ()) == is_followed
    world.rebuild(after)
    assert world.says() == fresh.says()
    assert (world.replay(after), world.audit(after), world.rebuild(after)) == (0, (), 0)


def test_counts_of_before_stay_true():
    """Without the extended mapping none is written; one that was not true, which is another's, stays."""
    world, without = World(), replace(BASE, extended=False)
    world.stored(), world.stored(SECOND)
    world.run(BASE, Study(world.held))
    for theirs, number_of_instances, of_first in (({}, 3, 2), ({"numberOfInstances": 7}, 7, 3)):
        world.fhir.resources[-1] |= theirs
        world.next(without)
        study = world.fhir.resources[-1]
        assert (study["numberOfSeries"], study["numberOfInstances"]) == (2, number_of_instances)
        assert [one["numberOfInstances"] for one in study["series"]] == [of_first, 1]
    fresh = World(world.held)
    fresh.run(without, Study(world.held))
    assert "numberOfInstances" not in repr(fresh.fhir.resources)


def test_a_series_that_is_found_in_the_archive_has_its_endpoint_too():
    """No entry of the batch names it."""
    world, options = World(), replace(BASE, series_endpoint=True)
    first = world.stored()
    world.run(options, Study([first]))
    world.stored(SECOND)
    world.run(options, Study([replace(first, action=Action.UPDATE)]))
    assert [one["endpoint"] for one in world.fhir.resources[-1]["series"]] == [[{"reference": "Endpoint/1"}]] * 2


class Archive(FakeArchive):
    """Counts how often it is asked for one instance of a series."""

    asked = 0

    def one_of(self, *given):
        self.asked += 1
        return super().one_of(*given)


def test_a_series_whose_instances_are_only_counted_follows_when_it_is_rebuilt():
    """The archive is not read for it with each batch, in vain."""
    world, counting = World(), replace(BASE, max_instances=1)
    world.stored(), world.stored(SECOND)
    world.run(counting, Study(world.held))
    world.archive = Archive({STUDY: world.held})
    without = replace(counting, snomed_body_site=False)
    world.next(without)
    assert (world.archive.asked, world.fhir.resources[-1]["numberOfInstances"]) == (0, 3)
    assert all(one["bodySite"].get("code") for one in world.fhir.resources[-1]["series"])
    world.rebuild(without)
    assert [one["bodySite"] for one in world.fhir.resources[-1]["series"]] == [{"display": "CHEST"}] * 2
