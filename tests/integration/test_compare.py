"""The check that the demo and the fault tests end with sees what differs: it would be worth nothing if it never did."""

from uuid import uuid4

import pytest
import requests

from local.compare import compare
from tests.integration.faults.proxy import proxy_to
from tests.integration.whole_feed import World


class Compared:
    """A study of two images and a dose report, and the same study in the partition `north`: synced, then tampered with.

    The DICOM service has a URL of its own for each test, so that what others left in FHIR is none of it.
    """

    def __init__(self, world, service_url):
        self.world, self.service_url = world, service_url
        self.north = f"{service_url}/partitions/north"
        self.report = f"{world.study}.9.1"
        described = {"StudyDescription": "Chest", "SeriesDescription": "Thin"}
        world.dicom.store(world.file(1, **described), world.file(2, **described), world.report(self.report))
        world.dicom.store(world.file(1, PatientID=f"{world.patient}-N"), partition="north")
        world.synced()

    def told(self, **more):
        arguments = {"service_url": self.service_url, "with_observations": True} | more
        return compare(self.world.dicom.url, self.world.fhir_url, set(), **arguments)

    def differences(self):
        return [(study.partition, one) for study in self.told() for one in study.differences]

    def shown(self, partition):
        """What the page of the study tells of: what a rebuild would write, and what it could not."""
        view = self.world.app.study(self.world.study, partition, patients=False)
        assert view.faults == []
        return [*view.changes, *view.failures]

    def observations(self):
        return self.world.search("Observation", f"urn:dicom:uid|urn:oid:{self.report}")

    def study(self, system="urn:dicom:uid"):
        return self.world.imaging_study(system)

    def instances(self):
        """Of the study's first series."""
        return self.study()["series"][0]["instance"]

    def put(self, resource, **changes):
        url = f"{self.world.fhir_url}/{resource['resourceType']}/{resource['id']}"
        requests.put(url, json=resource | changes, timeout=30).raise_for_status()

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
    with proxy_to(dicom.url) as service:
        settings = {"DicomWeb__Endpoint": service.url, "DicomCast__Features__GenerateObservations": "true"}
        yield Compared(World(dicom, fhir_url, storage, **settings), service.url)


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
    assert [study.differences for study in compared.told(with_observations=False)] == [(), ()]


TAMPERED = [
    # what is done to FHIR, the partition, what is told
    (lambda it: it.put(it.study(), subject=it.stranger()), "", "the subject of ImagingStudy/"),
    (lambda it: it.put(it.study(it.north), subject=it.stranger()), "north", "the subject of ImagingStudy/"),
    (lambda it: it.put(it.study(), subject={"display": "nobody"}), "", "the subject of ImagingStudy/"),
    (lambda it: it.post(it.study()), "", "2 ImagingStudy resources"),
    (lambda it: it.delete(it.study()), "", "not in FHIR"),
    (lambda it: it.delete(it.study(it.north)), "north", "not in FHIR"),
    (lambda it: it.put(it.study(), series=it.series(0)[:1]), "", "1 instances are missing in FHIR"),
    (lambda it: it.put(it.study(), series=it.series(0)[1:]), "", "2 instances are missing in FHIR"),
    (lambda it: it.put(it.study(), description="Knee"), "", "the description is not StudyDescription"),
    (lambda it: it.put(it.study(), series=it.series(0, description="Thick")), "", "the description is not SeriesDescription"),
    (lambda it: it.put(it.study(), series=it.series(0, instance=[*it.instances(), it.instances()[0] | {"uid": "1.2"}])), "", "1 instances are in FHIR only"),
    (lambda it: it.put(it.study(), series=it.series(0, instance=None, numberOfInstances=7)), "", "7 instances counted, 2 in DICOM"),
    (lambda it: it.put(it.study(), numberOfInstances=4), "", "numberOfInstances is not the sum"),
    (lambda it: it.put(it.study(), numberOfSeries=17), "", "numberOfSeries is not the number of the series"),
    (lambda it: it.put(it.study(), series=it.series(0, modality={"code": "US"})), "", "the modality is not Modality"),
    (lambda it: it.post(it.world.subject(it.study())), "", "several Patients have the PatientID"),
    (lambda it: it.delete(it.observations()[0]), "", "2 Observations in FHIR, and not 3"),
    (lambda it: it.post(it.observations()[0]), "", "4 Observations in FHIR, and not 3"),
    (lambda it: it.put(it.observations()[0], subject=it.stranger()), "", "the subject of Observation/"),
    (lambda it: it.put(it.observations()[0], derivedFrom=[{"reference": "ImagingStudy/9"}]), "", "is not derived from the study"),
    (lambda it: it.put(it.observations()[0], identifier=[]), "", "in FHIR, but no report of it in DICOM"),
]  # fmt: skip


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
    """An update, deletes: FHIR is behind until they are synced."""
    world = compared.world
    world.dicom.bulk_update(world.study, PatientID=f"{world.patient}-2")
    assert len([one for _, one in compared.differences() if one.startswith("the subject of ")]) == 4
    world.synced()
    assert compared.differences() == []
    requests.delete(f"{world.dicom.url}/v2/studies/{world.study}", timeout=30)
    told = [one.split(" ", 1)[1] for _, one in compared.differences()]
    assert told == ["is in FHIR, but not in DICOM", *["is in FHIR, but no report of it in DICOM"] * 3]
    world.synced()
    assert compared.differences() == []
