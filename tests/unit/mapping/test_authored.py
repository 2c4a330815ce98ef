"""What is authored is held against R4 once for each shape: with the answer that each value by itself would get."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.mapping import authored

UID, URN = "urn:oid:1.2.840", "urn:uuid:310787ea-31b6-53d9-8d46-cd14493db92f"
SHAPES = {
    ("Patient", "identifier"): lambda text, other: [{"system": text, "value": other}],
    ("Patient", "name"): lambda text, other: [{"use": "usual", "family": text, "given": [other, text]}],
    ("ImagingStudy", "identifier"): lambda text, other: [
        {"type": {"coding": [{"system": other, "code": text}]}, "value": text}
    ],
    ("ImagingStudy", "subject"): lambda text, other: {"reference": text, "display": other},
    ("ImagingStudy", "meta"): lambda text, _: {"source": text},
    ("ImagingStudy", "procedureCode"): lambda text, other: [{"coding": [{"system": text, "code": other}]}],
    ("ImagingStudy", "note"): lambda text, _: [{"text": text}],
    ("ImagingStudy.series", "bodySite"): lambda text, other: {"code": text, "display": other},
    ("Observation", "component"): lambda text, other: [
        {"code": {"text": other}, "valueQuantity": {"value": 1.5, "unit": text, "code": other}}
    ],
}
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("Aa0 .-:/T\t\xa0", max_size=12),
    st.from_regex(authored._KINDS, fullmatch=True),
    st.sampled_from(["2024", "2024-05-06", "20240506", "12:30:00", "2024-05-06T07:08:09Z", "true", UID, URN, "a" * 65]),
)


@pytest.mark.parametrize(("scope", "element"), SHAPES, ids=lambda part: part)
@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=8))
@example(texts=[("a b", "a"), ("a  b", "b "), (" a", "a\n"), ("a\xa0b", ""), ("\ud800", "1.2")])
def test_a_shape_has_the_answer_of_each_of_its_values(scope, element, texts):
    """Whatever was asked before."""
    for one in texts:
        value = SHAPES[scope, element](*one)
        assert authored.rule_broken(scope, element, value) == authored._rule(scope, element, value)


def test_values_of_other_shapes_are_told_apart():
    """A list of one is not the one, a number not its text, an element more not the same."""
    values = [{"a": "x"}, [{"a": "x"}], {"a": ["x"]}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"b": "x"}, {"a": "x", "b": "x"}, {}, [], {"a": "12345"}]  # fmt: skip
    assert len({authored._shape(value) for value in values}) == len(values)
    assert authored._shape({"a": "Doe"}) == authored._shape({"a": "Roe"})
