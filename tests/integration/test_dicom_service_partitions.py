"""The local DICOM service's data partitions, as Azure documents them."""

import re

import pytest

from tests.integration.dicom_service_client import Client, dicom_file, studies_path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what the tests do on purpose

DEFAULT = "Microsoft.Default"
NORTH, SOUTH = "north", "south"
UNKNOWN = "nowhere"


@pytest.fixture
def archive(dicom: Client) -> Client:
    """The same instance of the same study in three partitions, of another patient in each."""
    dicom.store(dicom_file(PatientID="P-default"))
    for partition in (NORTH, SOUTH):
        dicom.store(dicom_file(PatientID=f"P-{partition}"), partition=partition)
    return dicom


def patients(client: Client) -> dict[str, str]:
    """What the study's metadata says, by partition."""
    found = {}
    for partition in (None, NORTH, SOUTH):
        answer = client.get(f"{studies_path(partition)}/1.2/metadata")
        if answer.status_code == 200:
            found[partition or DEFAULT] = answer.json()[0]["00100020"]["Value"][0]
    return found


def test_the_same_study_lives_in_each_partition(archive: Client):
    """Each is created where it does not exist there yet, and the feed says in which."""
    assert patients(archive) == {DEFAULT: "P-default", NORTH: "P-north", SOUTH: "P-south"}
    assert archive.store(dicom_file(), partition=NORTH).status_code == 409
    feed = archive.feed()
    assert [entry["PartitionName"] for entry in feed] == [DEFAULT, NORTH, SOUTH]
    assert [entry["State"] for entry in feed] == ["current"] * 3
    assert [entry["Metadata"]["00100020"]["Value"][0] for entry in feed] == ["P-default", "P-north", "P-south"]


def test_a_delete_stays_in_its_partition(archive: Client):
    """Instance, entry and state of the others are not touched."""
    assert archive.delete(f"{studies_path(NORTH)}/1.2/series/1.2.3").status_code == 204
    assert patients(archive) == {DEFAULT: "P-default", SOUTH: "P-south"}
    assert [f"{entry['PartitionName']} {entry['Action']} {entry['State']}" for entry in archive.feed()] == [
        f"{DEFAULT} create current",
        "north create deleted",
        "south create current",
        "north delete deleted",
    ]
    assert archive.delete(f"{studies_path(NORTH)}/1.2").status_code == 404


def test_an_update_stays_in_its_partition(archive: Client):
    """As a delete does; its operation is told outside of the partitions."""
    answer = archive.bulk_update("1.2", partition=NORTH, PatientID="P-new")
    assert answer.json()["href"] == f"{archive.url}/v2/operations/{answer.json()['id']}"
    assert archive.get(f"/v2/operations/{answer.json()['id']}").json()["results"]["instanceUpdated"] == 1
    assert patients(archive) == {DEFAULT: "P-default", NORTH: "P-new", SOUTH: "P-south"}
    assert [f"{entry['PartitionName']} {entry['Action']} {entry['State']}" for entry in archive.feed()] == [
        f"{DEFAULT} create current",
        "north create replaced",
        "south create current",
        "north update current",
    ]


def test_a_search_stays_in_its_partition(archive: Client):
    """QIDO-RS never looks across; with a parameter too."""
    assert len(archive.get(studies_path(NORTH)).json()) == 1
    assert archive.get(studies_path(NORTH), PatientID="P-north").status_code == 200
    assert archive.get(studies_path(NORTH), PatientID="P-south").status_code == 204
    assert archive.get(studies_path(), PatientID="P-north").status_code == 204


def test_a_path_without_a_partition_is_one_of_the_default(archive: Client):
    """Both ways lead to the same studies."""
    assert archive.metadata(f"{studies_path(DEFAULT)}/1.2") == archive.metadata("/v2/studies/1.2")
    archive.store(dicom_file(StudyInstanceUID="1.9"), partition=DEFAULT)
    assert archive.feed()[-1]["PartitionName"] == DEFAULT
    assert archive.get("/v1/studies", StudyInstanceUID="1.9").status_code == 200


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_where_to_retrieve_names_the_partition(dicom: Client, version):
    """RetrieveURL of the study and of the instance."""
    study_url = f"/{version}/partitions/{NORTH}/studies"
    answer = dicom.store(dicom_file(), path=study_url).json()
    assert answer["00081190"]["Value"] == [f"{dicom.url}{study_url}/1.2"]
    (instance,) = answer["00081199"]["Value"]
    assert instance["00081190"]["Value"] == [f"{dicom.url}{study_url}/1.2/series/1.2.3/instances/1.2.3.4"]
    assert dicom.get(f"{study_url}/1.2/series/1.2.3/instances/1.2.3.4/metadata").status_code == 200


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_partitions_are_listed(dicom: Client, version):
    """The default is always there; the first STOW-RS into another creates it, and only that."""
    assert [one["PartitionName"] for one in dicom.get(f"/{version}/partitions").json()] == [DEFAULT]
    dicom.store(b"no DICOM at all", partition=SOUTH)
    dicom.store(dicom_file(), path=f"{studies_path(NORTH)}/1.2")
    dicom.store(dicom_file(), partition=SOUTH)
    listed = dicom.get(f"/{version}/partitions").json()
    assert [(one["PartitionKey"], one["PartitionName"]) for one in listed] == [(1, DEFAULT), (2, SOUTH), (3, NORTH)]
    for one in listed:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", one["CreatedDate"])


@pytest.mark.parametrize(
    "name", ["P", "62f5c7eb-124a-49b1-9e5c-17c81a1a7137", "1.2.840.10008", "a_b-c.D", "x" * 64, "..."]
)
def test_a_name_is_letters_digits_and_three_signs(dicom: Client, name):
    """Up to 64 of them."""
    dicom.store(dicom_file(), partition=name)
    assert dicom.feed()[-1]["PartitionName"] == name


@pytest.mark.parametrize("name", ["x" * 65, "a%20b", "a@b", "%C3%A4"])
def test_another_name_is_refused(dicom: Client, name):
    """400, and no partition is made of it."""
    answer = dicom.store(dicom_file(), partition=name)
    assert answer.status_code == 400
    assert "partition's name" in answer.text
    assert dicom.get(studies_path(name)).status_code == 400
    assert len(dicom.get("/v2/partitions").json()) == 1
    assert dicom.feed() == []


def test_only_a_store_creates_a_partition(dicom: Client):
    """Everything else answers 400 for one that does not exist, and names it."""
    studies = studies_path(UNKNOWN)
    answers = [
        dicom.get(studies),
        dicom.get(f"{studies}/1.2/metadata"),
        dicom.delete(f"{studies}/1.2"),
        dicom.bulk_update("1.2", partition=UNKNOWN, PatientID="P2"),
    ]
    for answer in answers:
        assert (answer.status_code, UNKNOWN in answer.text) == (400, True)
    assert len(dicom.get("/v2/partitions").json()) == 1
