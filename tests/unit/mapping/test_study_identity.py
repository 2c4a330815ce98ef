"""The identifiers that are a StudyInstanceUID: what is written, what becomes of those of before, whose they are."""

from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import is_only_ours
from shared.mapping.study_identity import (
    TYPE,
    is_study,
    place_of,
    study_identifiers,
    uid_of,
    with_study_identifiers,
    without_second_identifier,
)

URL = "https://dicom.example.org"
DEFAULT = MappingOptions(URL)
NORTH = DEFAULT.of_partition("north")
WITHOUT = replace(NORTH, study_uid_in_partitions=False)
BARE = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
TYPED = {"type": TYPE, **BARE}
OF_NORTH = {"system": f"{URL}/partitions/north", "value": "urn:oid:1.2.3"}
OWN = {"system": URL, "value": "urn:oid:1.2.3"}
THEIRS = {"type": {"coding": [{"code": "X"}]}, **BARE}
OTHER = {"system": "urn:others", "value": "urn:oid:1.2.3"}


@pytest.mark.parametrize(
    ("options", "identifiers"),
    [
        (DEFAULT, [TYPED]),
        (NORTH, [OF_NORTH, TYPED]),
        (WITHOUT, [{"type": TYPE, **OF_NORTH}]),
    ],
    ids=["default", "north", "north without"],
)
def test_what_a_new_study_has(options, identifiers):
    """The one that it is found by stands first."""
    assert study_identifiers(options, "1.2.3") == identifiers


HELD = [
    # what stands there, in which partition, what stands there after the next write
    ("of before", DEFAULT, [BARE, OTHER], [TYPED, OTHER]),
    ("as it is to be", DEFAULT, [TYPED], [TYPED]),
    ("another's type", DEFAULT, [THEIRS], [THEIRS]),
    ("of before", NORTH, [OF_NORTH, OTHER], [OF_NORTH, OTHER, TYPED]),
    ("as it is to be", NORTH, [OF_NORTH, TYPED], [OF_NORTH, TYPED]),
    ("another's", NORTH, [OF_NORTH, BARE], [OF_NORTH, TYPED]),
    ("of the setting turned off", NORTH, [{"type": TYPE, **OF_NORTH}], [OF_NORTH, TYPED]),
    ("no UID", DEFAULT, [OTHER], [OTHER]),
    ("without the extended mapping", MappingOptions(URL, extended=False), [BARE], [BARE]),
]


@pytest.mark.parametrize(("what", "options", "held", "after"), HELD, ids=[f"{row[0]} {row[2][0]}" for row in HELD])
def test_studies_of_before_get_it_with_the_next_write(what, options, held, after):
    """A type that another gave stays; a second time changes nothing."""
    study = with_study_identifiers({"identifier": held}, options)
    assert study["identifier"] == after
    assert with_study_identifiers(study, options) == study


@pytest.mark.parametrize(
    ("options", "held", "left"),
    [
        (NORTH, [OF_NORTH, TYPED], [OF_NORTH, TYPED]),
        (WITHOUT, [OF_NORTH, TYPED, OTHER], [OF_NORTH, OTHER]),
        (WITHOUT, [OF_NORTH, THEIRS], [OF_NORTH, THEIRS]),
        (WITHOUT, [OF_NORTH, {**TYPED, "value": "urn:oid:9.9"}], [OF_NORTH, {**TYPED, "value": "urn:oid:9.9"}]),
        (replace(DEFAULT, study_uid_in_partitions=False), [TYPED], [TYPED]),
    ],
)
def test_the_second_goes_with_its_setting(options, held, left):
    """As the app wrote it, and in data partitions alone."""
    assert without_second_identifier({"identifier": held}, options) == {"identifier": left}


WHOSE = [
    # identifiers, the place of the study
    ([BARE], ("Microsoft.Default", "1.2.3")),
    ([TYPED, OWN], ("Microsoft.Default", "1.2.3")),
    ([OF_NORTH], ("north", "1.2.3")),
    ([OF_NORTH, TYPED], ("north", "1.2.3")),
    ([TYPED, OF_NORTH], ("north", "1.2.3")),
    ([TYPED, {**OF_NORTH, "system": "https://elsewhere.example.org/partitions/x"}], None),
    ([OTHER], None),
    ([{"system": "urn:dicom:uid"}, {"system": "urn:dicom:uid", "value": 7}], None),
]


@pytest.mark.parametrize(("identifiers", "place"), WHOSE, ids=str)
def test_whose_study_it_is(identifiers, place):
    """A partition's is none of the default partition, though it bears its system; whatever stands first."""
    study = {"identifier": identifiers}
    assert place_of(study, DEFAULT) == place
    assert is_study(study, "1.2.3", DEFAULT) is (place == ("Microsoft.Default", "1.2.3"))
    assert is_study(study, "1.2.3", NORTH) is (place == ("north", "1.2.3"))
    assert uid_of(study, DEFAULT) == ("1.2.3" if place == ("Microsoft.Default", "1.2.3") else "")


@pytest.mark.parametrize(
    ("options", "identifiers", "alone"),
    [
        (DEFAULT, [TYPED, OWN], True),
        (NORTH, [OF_NORTH, TYPED], True),
        (NORTH, [OF_NORTH, {**TYPED, "value": "urn:oid:9.9"}], False),
        (DEFAULT, [TYPED, OTHER], False),
    ],
    ids=str,
)
def test_its_uids_are_no_reason_to_keep_a_study(options, identifiers, alone):
    """Whatever else stands there is somebody's."""
    for record in (None, frozenset()):
        assert is_only_ours({"resourceType": "ImagingStudy", "identifier": identifiers}, options, record) is alone
