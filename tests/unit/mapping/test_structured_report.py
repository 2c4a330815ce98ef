"""The content tree: where it is, and that a broken item spoils itself alone."""

import pytest

from shared.mapping.dose.structured_report import CONTENT, ContentHeld, content_held, content_tree
from tests.dose_reports import ct, ct_event

DLP = frozenset([("DCM", "113838")])
EVENTS = frozenset([("DCM", "113819")])


def sequence(*items):
    return {"vr": "SQ", "Value": list(items)}


@pytest.mark.parametrize(
    ("element", "held"),
    [
        (None, ContentHeld.ELSEWHERE),
        ({"vr": "SQ", "BulkDataURI": "https://d/bulk/1"}, ContentHeld.ELSEWHERE),
        ({"vr": "UN", "InlineBinary": "AA=="}, ContentHeld.ELSEWHERE),
        ({"vr": "SQ"}, ContentHeld.NONE),
        ({"vr": "SQ", "Value": []}, ContentHeld.NONE),
        ({"vr": "SQ", "Value": [{}]}, ContentHeld.NONE),
        ({"vr": "SQ", "Value": "text"}, ContentHeld.NONE),
        ("text", ContentHeld.NONE),
        (sequence({"0040A040": {"vr": "CS", "Value": ["NUM"]}}), ContentHeld.HERE),
    ],
)
def test_where_the_tree_is(element, held):
    """Left out of the metadata, or held as bulk data, is not the same as empty."""
    assert content_held({} if element is None else {CONTENT.key: element}) is held


def test_items_are_found_by_name_at_any_depth():
    """In the tree's order; inside of what is found nothing is looked for."""
    tree = content_tree(ct(ct_event(1), ct_event(2)), [])
    events = list(tree.found(EVENTS))
    assert len(events) == 2
    assert [len(list(event.found(DLP))) for event in events] == [1, 1]
    assert list(tree.found(EVENTS | DLP)) == events


BROKEN = [
    # what is broken                    the item                                                         its fault
    ("no object",                       7,                                                               "an object"),
    ("a name that is no list",          {"0040A043": {"vr": "SQ", "Value": "x"}},                        "not a list"),
    ("a name without end",              {"0040A043": sequence({"00080100": {"Value": ["A" * 17]}})},     "longer than 16"),
    ("a relationship in lower case",    {"0040A010": {"vr": "CS", "Value": ["contains"]}},               "only A-Z"),
    ("children held as bulk data",      {"0040A730": {"vr": "SQ", "BulkDataURI": "x"}},                  "bulk data"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "item", "said"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_item_spoils_itself_alone(what, item, said):
    """It is told; its siblings are read."""
    metadata = ct(ct_event(1))
    metadata[CONTENT.key]["Value"].insert(0, item)
    faults = []
    assert len(list(content_tree(metadata, faults).found(EVENTS))) == 1
    (fault,) = faults
    assert said in fault.rule


def test_a_tree_without_end_ends():
    """No report of whatever depth exhausts the stack."""
    item = {}
    for _ in range(400):
        item = {CONTENT.key: sequence(item | {"0040A040": {"vr": "CS", "Value": ["CONTAINER"]}})}
    faults = []
    content_tree(item, faults)
    assert [fault.rule for fault in faults] == ["nested deeper than 32 levels"]
