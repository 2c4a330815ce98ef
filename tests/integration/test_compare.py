"""The check that the demo and the fault tests end with sees what differs: it would be worth nothing if it never did."""

from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
import requests

from local.compare import compare
from local.compare_rules import Rules
from local.dicom_service.app import create_app
from local.not_synced import not_synced
from tests.integration.dicom_service_client import running
from tests.integration.faults.proxy import proxy_to
from tests.integration.whole_feed import World

RULES = Rules(observations=True)


class Compared:
    """A study of two images and a dose report, and the same study in the partition `north`: synced, then tampered with.

    The DICOM service has a URL of its own for each test, so that what others left in FHIR is none of it.
    """

    def __init__(self, world, service_url):
        self.world, self.service_url = world, service_url
        self.north = f"{service_url}/partitions/north"
        self.report = f"{world.study}.9.1"
        described = {
            "StudyDescription": "Chest",
            "SeriesDescription": "Thin",
            "SeriesNumber": 2,
            "AccessionNumber": "A-1",
            "StudyTime": "072730",
            "PatientName": "Nightingale^Florence=山",
            "PatientSex": "F",
            "PatientBirthDate": "18200512",
            "SpecificCharacterSet": "ISO_IR 192",
        }
        world.dicom.store(world.file(1, **described), world.file(2, **described), world.report(self.report))
        world.dicom.store(world.file(1, PatientID=f"{world.patient}-N"), partition="north")
        world.synced()

    def told(self, **more):
        arguments = {"service_url": self.service_url, "rules": RULES} | more
        return compare(self.world.dicom.url, self.world.fhir_url, set(), **arguments)

    def differences(self):
        return [(study.partition, one) for study in self.told() for one in study.differences]

    def shown(self, partition):
        """What the page of the study tells of: what a rebuild would write, and what it could not."""
        view = self.world.app.study(self.world.study, partition, patients=True)
        assert view.faults == []
        return [*view.changes, *view.failures]

    def accession(self, number):
        """The study's identifiers, with another accession number."""
        return [one | ({"value": number} if "system" not in one else {}) for one in self.study()["identifier"]]

    def names(self, position, **changes):
        """The Patient's names, with changes to one."""
        names = self.patient()["name"]
        names[position] |= changes
        return names

    def observation(self):
        return self.observations()[0]

    def observations(self):
        return self.world.search("Observation", f"urn:dicom:uid|urn:oid:{self.report}")

    def study(self, system="urn:dicom:uid"):
        return self.world.imaging_study(system)

    def instances(self):
        """Of the study's first series."""
        return self.study()["series"][0]["instance"]

    def patient(self):
        return self.world.subject(self.study())

    def put(self, resource, **changes):
        """None takes an element out."""
        url = f"{self.world.fhir_url}/{resource['resourceType']}/{resource['id']}"
        said = {name: value for name, value in (resource | changes).items() if value is not None}
        requests.put(url, json=said, timeout=30).raise_for_status()

    def post(self, resource, **changes):
        made = {name: value for name, value in resource.items() if name != "id"} | changes
        answer = requests.post(f"{self.world.fhir_url}/{resource['resourceType']}", json=made, timeout=30)
        return answer.json()

    def delete(self, resource):
        url = f"{self.world.fhir_url}/{resource['resourceType']}/{resource['id']}"
        requests.delete(url, timeout=30).raise_for_status()

    def stranger(self):
        """A reference to another Patient."""
        made = self.post({"resourceType": "Patient", "identifier": [{"value": f"S-{uuid4().hex[:12]}"}]})
        return {"reference": f"Patient/{made['id']}"}

    def series(self, position, **changes):
        """The study's series, with changes to one; None takes an element out."""
        series = self.study()["series"]
        said = series[position] | changes
        series[position] = {name: value for name, value in said.items() if value is not None}
        return series


@pytest.fixture
def compared(dicom, fhir_url, storage):
    with the_compared(dicom, fhir_url, storage) as compared:
        yield compared


@contextmanager
def the_compared(dicom, fhir_url, storage):
    with proxy_to(dicom.url) as service:
        settings = {"DicomWeb__Endpoint": service.url, "DicomCast__Features__GenerateObservations": "true"}
        yield Compared(World(dicom, fhir_url, storage, **settings), service.url)


@pytest.fixture(scope="module")
def standing(fhir_url, storage):
    """One for all tests that put back what they change."""
    with running(create_app(None)) as dicom, the_compared(dicom, fhir_url, storage) as compared:
        yield compared


def test_what_is_synced_matches(compared):
    """The studies of each partition, with what FHIR holds of them."""
    default, north = compared.told()
    assert (default.partition, north.partition) == ("Microsoft.Default", "north")
    assert default.study_instance_uid == north.study_instance_uid == compared.world.study
    assert (default.observations, north.observations) == (3, 0)
    assert (sum(default.in_fhir.values()), sum(north.in_fhir.values())) == (3, 1)
    assert default.in_dicom == default.in_fhir
    assert (default.modalities, default.patient_id) == (("CT", "SR"), compared.world.patient)
    assert default.differences == north.differences == ()
    assert compared.shown("Microsoft.Default") == compared.shown("north") == []


def test_nobody_asks_for_observations_that_are_not_made(compared):
    """`DicomCast__Features__GenerateObservations` is off by default."""
    for one in compared.observations():
        compared.delete(one)
    assert [study.differences for study in compared.told(rules=Rules())] == [(), ()]


PUT = [
    # the resource, what is put into it, what is told
    (Compared.study, lambda it: {"subject": it.stranger()}, "the subject of ImagingStudy/"),
    (Compared.study, lambda it: {"subject": {"display": "nobody"}}, "the subject of ImagingStudy/"),
    (Compared.study, lambda it: {"series": it.series(0)[:1]}, "1 instance missing in FHIR"),
    (Compared.study, lambda it: {"series": it.series(0)[1:]}, "2 instances missing in FHIR"),
    (Compared.study, lambda it: {"description": "Knee"}, "the description is not StudyDescription"),
    (Compared.study, lambda it: {"description": None}, "the description is not StudyDescription"),
    (Compared.study, lambda it: {"note": [{"text": "Knee"}]}, "a StudyDescription is in no note"),
    (Compared.study, lambda it: {"identifier": it.accession("A-2")}, "an AccessionNumber is missing"),
    (Compared.study, lambda it: {"identifier": it.study()["identifier"][:1]}, "an AccessionNumber is missing"),
    (Compared.study, lambda it: {"started": "2026-01-30"}, "started is not StudyDate and StudyTime"),
    (Compared.study, lambda it: {"started": "2026-01-31T07:27:30+02:00"}, "started is not StudyDate and StudyTime"),
    (Compared.study, lambda it: {"started": None}, "started is not StudyDate and StudyTime"),
    (Compared.study, lambda it: {"numberOfInstances": 4}, "numberOfInstances is not the sum"),
    (Compared.study, lambda it: {"numberOfSeries": 17}, "numberOfSeries is not the number of the series"),
    (Compared.study, lambda it: {"series": it.series(0, description="Thick")}, "the description is not SeriesDescription"),
    (Compared.study, lambda it: {"series": it.series(0, number=3)}, "the number is not SeriesNumber"),
    (Compared.study, lambda it: {"series": it.series(0, modality={"code": "US"})}, "the modality is not Modality"),
    (Compared.study, lambda it: {"series": it.series(0, instance=[*it.instances(), it.instances()[0] | {"uid": "1.2"}])}, "1 instance in FHIR only"),
    (Compared.study, lambda it: {"series": it.series(0, instance=None, numberOfInstances=7)}, "7 instances counted, 2 in DICOM"),
    (Compared.patient, lambda it: {"name": it.names(0, family="Seacole")}, "the name of Patient/"),
    (Compared.patient, lambda it: {"name": it.names(0)[:1]}, "the ideographic name of Patient/"),
    (Compared.patient, lambda it: {"name": None}, "the name of Patient/"),
    (Compared.patient, lambda it: {"gender": "male"}, "the gender of Patient/"),
    (Compared.patient, lambda it: {"birthDate": None}, "the birth date of Patient/"),
    (Compared.observation, lambda it: {"subject": it.stranger()}, "the subject of Observation/"),
    (Compared.observation, lambda it: {"derivedFrom": [{"reference": "ImagingStudy/9"}]}, "is not derived from the study"),
]  # fmt: skip


@pytest.mark.parametrize(("of", "changes", "told"), PUT, ids=[f"{number} {row[2]}" for number, row in enumerate(PUT)])
def test_what_others_put_is_told(standing, of, changes, told):
    """Where the app's own merge, run dry by the page of the study, would write something else."""
    resource = of(standing)
    standing.put(resource, **changes(standing))
    try:
        differences = standing.differences()
        assert any(told in one for _, one in differences), differences
        assert {name for name, _ in differences} == {"Microsoft.Default"}
        assert standing.shown("Microsoft.Default")
        assert standing.shown("north") == []
    finally:
        standing.put(resource)
    assert standing.differences() == []


STAYS = [
    # what is put into the Patient, Patient__UpdatePolicy, what is told
    ({"birthDate": "1821-05-12"}, "overwrite", "the birth date of Patient/"),
    ({"birthDate": "1821-05-12"}, "fill", "the birth date of Patient/"),
    ({"gender": "male"}, "fill", "the gender of Patient/"),
    ({"name": [{"use": "usual", "family": "Seacole"}]}, "fill", "the name of Patient/"),
    ({"name": None}, "never", "the name of Patient/"),
]


@pytest.mark.parametrize(("changes", "policy", "told"), STAYS)
def test_what_is_anothers_is_told_and_no_difference(standing, changes, policy, told):
    """Nor does the app's own merge write it."""
    resource = standing.patient()
    standing.put(resource, **changes)
    standing.world.build(Patient__UpdatePolicy=policy)
    try:
        default, _ = standing.told(rules=replace(RULES, policy=policy))
        assert default.differences == ()
        assert any(one.startswith(told) and one.endswith(", and stays so") for one in default.stays), default.stays
        assert standing.shown("Microsoft.Default") == []
    finally:
        standing.put(resource)
        standing.world.build(Patient__UpdatePolicy="overwrite")


def test_what_dicom_does_not_say_is_anothers(standing):
    """Other identifiers, names of another use, notes: nothing is asked of them."""
    study, patient = standing.study(), standing.patient()
    theirs = [*study["identifier"], *standing.accession("A-3")[1:], {"value": "7"}]
    standing.put(study, identifier=theirs, note=[*study["note"], {"text": "seen"}])
    standing.put(patient, name=[*patient["name"], {"use": "maiden", "family": "Smith"}])
    try:
        assert standing.differences() == []
        assert standing.shown("Microsoft.Default") == []
    finally:
        standing.put(study)
        standing.put(patient)


TAMPERED = [
    # what is done to FHIR, the partition, what is told
    (lambda it: it.put(it.study(it.north), subject=it.stranger()), "north", "the subject of ImagingStudy/"),
    (lambda it: it.post(it.study()), "", "2 ImagingStudy resources"),
    (lambda it: it.delete(it.study()), "", "not in FHIR"),
    (lambda it: it.delete(it.study(it.north)), "north", "not in FHIR"),
    (lambda it: it.post(it.world.subject(it.study())), "", "several Patients have the PatientID"),
    (lambda it: it.delete(it.observations()[0]), "", "2 Observations in FHIR, and not 3"),
    (lambda it: it.post(it.observations()[0]), "", "4 Observations in FHIR, and not 3"),
    (lambda it: it.put(it.observations()[0], identifier=[]), "", "in FHIR, but no report of it in DICOM"),
]


@pytest.mark.parametrize(("tamper", "partition", "told"), TAMPERED, ids=[f"{row[2]} {row[1]}" for row in TAMPERED])
def test_what_differs_is_told(compared, tamper, partition, told):
    """In the partition where it differs; the page of the study tells of it too, by the app's own merge."""
    tamper(compared)
    differences = compared.differences()
    assert any(told in one for _, one in differences), differences
    assert {name for name, _ in differences} == {partition or "Microsoft.Default"}
    assert {name for name in ("Microsoft.Default", "north") if compared.shown(name)} == {
        partition or "Microsoft.Default"
    }


def test_a_patient_that_another_replaces(compared):
    """As a registry merges them: the study goes to what is left, whose own identifiers need not have the PatientID."""
    replaced = compared.patient()
    said = {name: value for name, value in replaced.items() if name in ("resourceType", "name", "gender", "birthDate")}
    left = {"reference": f"Patient/{compared.post(said)['id']}"}
    compared.put(replaced, active=False, link=[{"other": left, "type": "replaced-by"}])
    told = [one for _, one in compared.differences()]
    assert len(told) == 4
    assert all(
        one.startswith("the subject of ") and one.endswith(f" is replaced by {left['reference']}") for one in told
    )
    assert compared.shown("Microsoft.Default")
    for one in (compared.study(), *compared.observations()):
        compared.put(one, subject=left)
    assert compared.differences() == []
    assert compared.shown("Microsoft.Default") == []
    compared.post(replaced)
    told = {one.partition(" of ")[0] for _, one in compared.differences()}
    assert told == {"several Patients have the PatientID"}


def test_a_patient_id_with_signs_that_part_searches(compared):
    """A comma there is no `or`, and who has what stands before it is another."""
    odd = "A,B|C$D"
    compared.world.dicom.bulk_update(compared.world.study, PatientID=odd)
    compared.world.synced()
    compared.post({"resourceType": "Patient", "identifier": [{"value": "A"}]})
    assert compared.differences() == []
    compared.post(compared.patient())
    assert {one.partition(" of ")[0] for _, one in compared.differences()} == {"several Patients have the PatientID"}


def test_a_study_that_is_only_counted_matches(compared):
    """Its counts are held against what DICOM holds."""
    series = [{name: value for name, value in one.items() if name != "instance"} for one in compared.study()["series"]]
    compared.put(compared.study(), series=series)
    assert compared.differences() == []


def test_references_match_however_they_are_written(compared):
    """Servers behind a proxy write absolute ones, of a host of theirs."""
    study = compared.study()
    subject = {"reference": f"https://fhir.example.org/base/{study['subject']['reference']}"}
    compared.put(study, subject=subject)
    for one in compared.observations():
        derived = [{"reference": f"https://fhir.example.org/base/ImagingStudy/{study['id']}"}]
        compared.put(one, subject=subject, derivedFrom=derived)
    assert compared.differences() == []


def test_what_dicom_alone_knows_is_told(compared):
    """An update, deletes: FHIR is behind until they are synced, and how many entries that takes is known."""
    world = compared.world

    def waiting():
        return not_synced(world.dicom.url, world.storage, world.settings["TableStore__TableNamePrefix"])

    assert waiting() == 0
    world.dicom.bulk_update(world.study, PatientID=f"{world.patient}-2")
    assert len([one for _, one in compared.differences() if one.startswith("the subject of ")]) == 4
    assert waiting() == 3
    world.synced()
    assert waiting() == 0
    assert compared.differences() == []
    requests.delete(f"{world.dicom.url}/v2/studies/{world.study}", timeout=30)
    told = [one.split(" ", 1)[1] for _, one in compared.differences()]
    assert told == ["is in FHIR, but not in DICOM", *["is in FHIR, but no report of it in DICOM"] * 3]
    world.synced()
    assert compared.differences() == []
