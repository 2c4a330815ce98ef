"""The local DICOM service's studies service: what is stored, refused, found and deleted."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from local.dicom_service import create_app
from tests.integration.dicom_service_client import (
    BOUNDARY,
    MULTIPART,
    Client,
    bare_dataset,
    dicom_file,
    emptied,
    multipart,
    running,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what the tests do on purpose

STUDY, SERIES, INSTANCE = (
    "/v2/studies/1.2",
    "/v2/studies/1.2/series/1.2.3",
    "/v2/studies/1.2/series/1.2.3/instances/1.2.3.4",
)
TRUNCATED_PIXEL_DATA = b"\xe0\x7f\x10\x00OW\0\0\xff\xff\0\0" + b"\0" * 50
PROCESSING_FAILURE, FAILED_VALIDATION, OTHER_STUDY, ALREADY_EXISTS = 272, 43264, 43265, 45070


@pytest.fixture(scope="module")
def server():
    app = create_app(None)
    with running(app) as client:
        yield app, client


@pytest.fixture
def service(server):
    app, client = server
    with emptied(app):
        yield client


def reasons(response) -> list[int]:
    return [item["00081197"]["Value"][0] for item in response.json().get("00081198", {}).get("Value", [])]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_stored_instance_is_named_with_where_to_retrieve_it(service: Client, version):
    """PS3.18 10.5.3: RetrieveURL of the study on top, ReferencedSOPSequence with that of each instance."""
    response = service.store(dicom_file(), path=f"/{version}/studies")
    study_url = f"{service.url}/{version}/studies/1.2"
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/dicom+json"
    assert response.json() == {
        "00081190": {"vr": "UR", "Value": [study_url]},
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [SecondaryCaptureImageStorage]},
                    "00081155": {"vr": "UI", "Value": ["1.2.3.4"]},
                    "00081190": {"vr": "UR", "Value": [f"{study_url}/series/1.2.3/instances/1.2.3.4"]},
                }
            ],
        },
    }


def test_a_refused_instance_is_named_with_its_reason(service: Client):
    """PS3.18 10.5.3: FailedSOPSequence with FailureReason; UIDs as far as they are known."""
    response = service.store(dicom_file(), dicom_file(), b"no DICOM at all")
    assert response.json()["00081198"] == {
        "vr": "SQ",
        "Value": [
            {"00081197": {"vr": "US", "Value": [PROCESSING_FAILURE]}},
            {
                "00081150": {"vr": "UI", "Value": [SecondaryCaptureImageStorage]},
                "00081155": {"vr": "UI", "Value": ["1.2.3.4"]},
                "00081197": {"vr": "US", "Value": [ALREADY_EXISTS]},
            },
        ],
    }


@pytest.mark.parametrize(
    ("path", "files", "status", "expected_reasons"),
    [
        ("/v2/studies", [dicom_file(), dicom_file(SOPInstanceUID="1.2.3.5")], 200, []),
        ("/v1/studies", [dicom_file(), dicom_file(SOPInstanceUID="1.2.3.5")], 200, []),
        ("/v2/studies/1.2", [dicom_file()], 200, []),
        ("/v2/studies", [dicom_file(), dicom_file(StudyInstanceUID="1.9")], 200, []),
        ("/v2/studies", [dicom_file(PatientID=None)], 200, []),
        ("/v2/studies", [dicom_file(PatientID="")], 200, []),
        ("/v2/studies", [dicom_file(), dicom_file()], 202, [ALREADY_EXISTS]),
        ("/v2/studies/1.2", [dicom_file(), dicom_file(StudyInstanceUID="1.9")], 202, [OTHER_STUDY]),
        ("/v2/studies/1.9", [dicom_file()], 409, [OTHER_STUDY]),
        ("/v2/studies", [dicom_file(StudyInstanceUID=None)], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(SeriesInstanceUID=None)], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(SOPInstanceUID=None)], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(SOPClassUID=None)], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(StudyInstanceUID="")], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(StudyInstanceUID="1." + "2" * 63)], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(StudyInstanceUID="1.2/3")], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [dicom_file(StudyInstanceUID=["1.2", "1.3"])], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [b"no DICOM at all"], 409, [PROCESSING_FAILURE]),
        ("/v2/studies", [b""], 409, [PROCESSING_FAILURE]),
        ("/v2/studies", [b"\0" * 128 + b"DICM"], 409, [FAILED_VALIDATION]),
        ("/v2/studies", [bare_dataset(ImplicitVRLittleEndian, SOPInstanceUID=None)], 409, [PROCESSING_FAILURE]),
    ],
)
def test_what_is_refused_does_not_harm_the_rest(service: Client, path, files, status, expected_reasons):
    """200 all stored, 202 some, 409 none; reasons as Azure's service documents them; PatientID is not required."""
    response = service.store(*files, path=path)
    assert response.status_code == status
    assert reasons(response) == expected_reasons
    assert len(service.feed()) == len(files) - len(expected_reasons)


def test_an_instance_exists_already_only_under_all_three_uids(service: Client):
    """The same SOPInstanceUID in another series is another instance; the same three are refused, whoever sends them."""
    assert service.store(dicom_file()).status_code == 200
    assert service.store(dicom_file(SeriesInstanceUID="1.2.9")).status_code == 200
    again = service.store(dicom_file(PatientID="P2"), path="/v1/studies/1.2")
    assert (again.status_code, reasons(again)) == (409, [ALREADY_EXISTS])


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/dicom", dicom_file(), 200),
        (MULTIPART, multipart(dicom_file(), part_type=None), 200),
        (MULTIPART, multipart(dicom_file(), part_type="application/dicom; transfer-syntax=*"), 200),
        (f"multipart/related; boundary={BOUNDARY}", multipart(dicom_file()), 200),
        (f'Multipart/Related; type="Application/DICOM"; boundary="{BOUNDARY}"', multipart(dicom_file()), 200),
        (MULTIPART, b"\r\n" + multipart(dicom_file()), 200),
        (MULTIPART, b"", 204),
        ("application/dicom", b"", 204),
        ("application/dicom", b"no DICOM at all", 409),
        ('multipart/related; type="application/dicom"', multipart(dicom_file()), 400),
        (MULTIPART, multipart(dicom_file())[:-10], 400),
        (MULTIPART, b"no multipart at all", 400),
        (MULTIPART, b"--another-boundary\r\n\r\n--another-boundary--\r\n", 400),
        (f"{MULTIPART}{'x' * 300}", multipart(dicom_file()), 400),
        (MULTIPART, multipart(dicom_file(), part_type="application/json"), 415),
        (f'multipart/related; type="application/dicom+xml"; boundary={BOUNDARY}', multipart(dicom_file()), 415),
        (f"multipart/form-data; boundary={BOUNDARY}", multipart(dicom_file()), 415),
        ("application/json", b"{}", 415),
        (None, dicom_file(), 415),
    ],
)
def test_the_body_is_dicom_or_parts_of_it(service: Client, content_type, body, status):
    """400 for a malformed body, 415 for another media type, 204 for an empty body."""
    assert service.post("/v2/studies", body, content_type).status_code == status


@pytest.mark.parametrize(
    "file",
    [
        dicom_file(ImplicitVRLittleEndian),
        dicom_file(ExplicitVRBigEndian),
        dicom_file(DeflatedExplicitVRLittleEndian),
        bare_dataset(ImplicitVRLittleEndian),
        bare_dataset(ExplicitVRLittleEndian),
        dicom_file() + TRUNCATED_PIXEL_DATA,
    ],
    ids=["implicit", "big endian", "deflated", "bare implicit", "bare explicit", "truncated pixel data"],
)
def test_the_encoding_of_a_file_leaves_no_trace(service: Client, file):
    """Whatever the transfer syntax, with or without file meta: the metadata is the same."""
    assert service.store(file).status_code == 200
    assert service.metadata() == [
        {
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080016": {"vr": "UI", "Value": [SecondaryCaptureImageStorage]},
            "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
            "00080020": {"vr": "DA", "Value": ["20260131"]},
            "00080060": {"vr": "CS", "Value": ["OT"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nightingale^Florence"}]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "0020000D": {"vr": "UI", "Value": ["1.2"]},
            "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
        }
    ]


MODEL: list[tuple[dict[str, Any], str, dict[str, Any] | None]] = [
    ({"StudyDate": "1997.04.24"}, "00080020", {"vr": "DA", "Value": ["1997.04.24"]}),
    ({"StudyDate": "yesterday"}, "00080020", {"vr": "DA", "Value": ["yesterday"]}),
    ({"StudyDate": ""}, "00080020", {"vr": "DA"}),
    ({"StudyDate": None}, "00080020", None),
    ({"StudyTime": "25:61"}, "00080030", {"vr": "TM", "Value": ["25:61"]}),
    ({"PatientSex": "unknown"}, "00100040", {"vr": "CS", "Value": ["unknown"]}),
    ({"PatientID": "P" * 70}, "00100020", {"vr": "LO", "Value": ["P" * 70]}),
    ({"ImageType": ["ORIGINAL", "", "AXIAL"]}, "00080008", {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]}),
    ({"InstanceNumber": "7"}, "00200013", {"vr": "IS", "Value": [7]}),
    ({"PixelSpacing": ["0.5", "1.25"]}, "00280030", {"vr": "DS", "Value": [0.5, 1.25]}),
    ({"RecommendedDisplayFrameRateInFloat": float("nan")}, "00089459", None),
    ({"FrameIncrementPointer": 0x00181063}, "00280009", {"vr": "AT", "Value": ["00181063"]}),
    ({"ReferencedStudySequence": []}, "00081110", {"vr": "SQ"}),
    ({"ICCProfile": b"\x01\x02"}, "00282000", {"vr": "OB", "InlineBinary": base64.b64encode(b"\x01\x02").decode()}),
    ({"ICCProfile": b"\0" * 1024}, "00282000", {"vr": "OB", "InlineBinary": base64.b64encode(b"\0" * 1024).decode()}),
    ({"ICCProfile": b"\0" * 1026}, "00282000", None),
    ({"PatientName": "=山田^太郎"}, "00100010", {"vr": "PN", "Value": [{"Ideographic": "山田^太郎"}]}),
    ({"SpecificCharacterSet": "ISO_IR 100"}, "00080005", {"vr": "CS", "Value": ["ISO_IR 192"]}),
]


@pytest.mark.parametrize(("attributes", "tag", "expected"), MODEL, ids=[f"{next(iter(row[0]))}" for row in MODEL])
def test_values_are_kept_as_the_file_says(service: Client, attributes, tag, expected):
    """DICOM JSON model (PS3.18 Annex F): invalid values stay, binary values over 1 KiB and NaN are left out."""
    charset = {"SpecificCharacterSet": "ISO_IR 192"} | attributes
    assert service.store(dicom_file(**charset)).status_code == 200
    assert service.metadata()[0].get(tag) == expected


def test_a_number_that_is_none_stays_a_string(service: Client):
    """PS3.18 table F.2.3-1 allows IS and DS as strings; the rest of the file is not touched by the bad element."""
    service.store(Path(get_testdata_file("badVR.dcm")).read_bytes())
    (study,) = service.get("/v2/studies").json()
    (instance,) = service.metadata(f"/v2/studies/{study['0020000D']['Value'][0]}")
    assert instance["00280008"] == {"vr": "IS", "Value": ["1A"]}
    assert instance["00280010"] == {"vr": "US", "Value": [10]}


@pytest.mark.parametrize(
    ("file_name", "person_name"),
    [
        ("chrGerm.dcm", {"Alphabetic": "Äneas^Rüdiger"}),
        ("chrRuss.dcm", {"Alphabetic": "Люкceмбypг"}),  # noqa: RUF001 the file mixes the alphabets
        ("chrArab.dcm", {"Alphabetic": "قباني^لنزار"}),
        ("chrX1.dcm", {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}),
        ("chrH31.dcm", {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}),
        ("chrI2.dcm", {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"}),
    ],
)
def test_text_is_decoded_by_its_character_set(service: Client, file_name, person_name):
    """The JSON is UTF-8 and says so, whatever SpecificCharacterSet the file has."""
    (path,) = get_charset_files(file_name)
    service.store(Path(path).read_bytes())
    (entry,) = service.feed()
    assert entry["Metadata"]["00100010"] == {"vr": "PN", "Value": [person_name]}
    assert entry["Metadata"]["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


@pytest.fixture
def archive(service: Client) -> Client:
    """Study 1.2: series 1.2.3 with two instances, series 1.2.6 with one; study 1.8 of another patient with one."""
    service.store(
        dicom_file(),
        dicom_file(SOPInstanceUID="1.2.3.5"),
        dicom_file(SOPInstanceUID="1.2.6.7", SeriesInstanceUID="1.2.6", Modality="CT"),
        dicom_file(SOPInstanceUID="1.8.8.9", SeriesInstanceUID="1.8.8", StudyInstanceUID="1.8", PatientID="P2"),
    )
    return service


PATHS = [
    (STUDY, ["1.2.3.4", "1.2.3.5", "1.2.6.7"]),
    (SERIES, ["1.2.3.4", "1.2.3.5"]),
    (INSTANCE, ["1.2.3.4"]),
    ("/v1/studies/1.8", ["1.8.8.9"]),
    ("/v2/studies/1.3", []),
    ("/v2/studies/1.8/series/1.2.3", []),
    (f"{SERIES}/instances/1.2.6.7", []),
]


@pytest.mark.parametrize(("path", "instances"), PATHS)
def test_metadata_of_a_study_a_series_or_an_instance(archive: Client, path, instances):
    """WADO-RS (PS3.18 10.4): an array, in the order of arrival; 404 where there is nothing."""
    response = archive.get(f"{path}/metadata")
    assert response.status_code == (200 if instances else 404)
    if instances:
        assert response.headers["Content-Type"] == "application/dicom+json"
        assert [item["00080018"]["Value"][0] for item in response.json()] == instances


@pytest.mark.parametrize(("path", "instances"), PATHS)
def test_delete_takes_what_is_under_the_path(archive: Client, path, instances):
    """204 and one change feed entry per instance; 404 where there is nothing, also the second time."""
    assert archive.delete(path).status_code == (204 if instances else 404)
    assert [entry["SopInstanceUid"] for entry in archive.feed() if entry["Action"] == "delete"] == instances
    assert archive.get(f"{path}/metadata").status_code == 404
    assert archive.delete(path).status_code == 404


@pytest.mark.parametrize(
    ("query", "studies"),
    [
        ({}, ["1.2", "1.8"]),
        ({"StudyDate": "20260131"}, ["1.2", "1.8"]),
        ({"StudyDate": "20260201"}, []),
        ({"StudyDate": "20260131-20260131"}, ["1.2", "1.8"]),
        ({"StudyDate": "20250101-20260130"}, []),
        ({"StudyDate": "20260131-"}, ["1.2", "1.8"]),
        ({"StudyDate": "20260201-"}, []),
        ({"StudyDate": "-20260131", "PatientID": "P2"}, ["1.8"]),
        ({"PatientID": "P2"}, ["1.8"]),
        ({"PatientID": "P"}, []),
        ({"StudyInstanceUID": "1.2"}, ["1.2"]),
        ({"StudyInstanceUID": "1.2", "PatientID": "P2"}, []),
        ({"limit": 1}, ["1.8"]),
        ({"limit": 1, "offset": 1}, ["1.2"]),
        ({"offset": 2}, []),
    ],
)
def test_studies_are_searched(archive: Client, query, studies):
    """QIDO-RS (PS3.18 10.6): to the letter, or a range of days; 204 where nothing matches; in an order of no meaning."""
    response = archive.get("/v2/studies", **query)
    assert response.status_code == (200 if studies else 204)
    if studies:
        assert sorted(study["0020000D"]["Value"][0] for study in response.json()) == studies


@pytest.mark.parametrize("said", ["yesterday", "1997.04.24", "", None])
def test_a_study_without_a_day_is_found_by_none(archive: Client, said):
    """Whoever walks the archive by StudyDate has to look for these by other means."""
    archive.store(
        dicom_file(StudyInstanceUID="1.3", SeriesInstanceUID="1.3.1", SOPInstanceUID="1.3.1.1", StudyDate=said)
    )
    assert archive.get("/v2/studies", StudyDate="-99991231", StudyInstanceUID="1.3").status_code == 204
    assert archive.get("/v2/studies", StudyInstanceUID="1.3").status_code == 200


def test_a_study_is_found_with_its_attributes(archive: Client):
    """What the first instance says of the study; modalities and the number of instances where they are asked for."""
    said = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080020": {"vr": "DA", "Value": ["20260131"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nightingale^Florence"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
    }
    computed = {"00080061": {"vr": "CS", "Value": ["CT", "OT"]}, "00201208": {"vr": "IS", "Value": [3]}}
    assert archive.get("/v1/studies", StudyInstanceUID="1.2").json() == [said]
    asked = {"includefield": ["00080061", "NumberOfStudyRelatedInstances"]}
    assert archive.get("/v1/studies", StudyInstanceUID="1.2", **asked).json() == [said | computed]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v2/studies?limit=0", "limit"),
        ("/v2/studies?limit=201", "limit"),
        ("/v2/studies?offset=-1", "offset"),
        ("/v2/studies?PatientID=", "PatientID"),
        ("/v2/studies?StudyDate=-", "StudyDate"),
        ("/v2/studies?StudyDate=20260230", "StudyDate"),
        ("/v2/studies?StudyDate=2026", "StudyDate"),
        ("/v2/studies?StudyDate=20260131-20260131-", "StudyDate"),
        ("/v2/studies?PatientName=X", "PatientName"),
        (f"{STUDY}/metadata?limit=1", "limit"),
    ],
)
def test_a_bad_search_parameter_is_named(archive: Client, path, named):
    """400 with a plain message."""
    response = archive.get(path)
    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/plain")
    assert named in response.text


def test_the_study_of_the_url_must_be_a_uid(service: Client):
    """400, as Azure's service answers."""
    assert service.store(dicom_file(), path="/v2/studies/not+a+uid").status_code == 400


@pytest.mark.parametrize("path", ["/v3/studies", "/studies", "/v3/changefeed", "/v2/instances", "/"])
def test_there_are_two_versions_of_the_api(service: Client, path):
    """Any other path is 404."""
    assert service.get(path).status_code == 404
    assert service.get("/health").status_code == 200
