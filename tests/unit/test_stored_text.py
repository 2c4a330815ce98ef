"""What storage takes is counted in bytes of UTF-16, not in characters; what does not fit is counted."""

import json

import pytest

from shared.model.stored_text import json_bytes, shortened, stored_bytes


@pytest.mark.parametrize("sign", ["x", "é", "語", "😀", '"', "\n"])
@pytest.mark.parametrize("length", [0, 1, 100, 101, 5000])
def test_a_text_is_cut_to_its_bytes(sign, length):
    """Never within a character, and it says how many there were besides."""
    text = sign * length
    cut = shortened(text, 200)
    assert stored_bytes(cut) <= 200
    if stored_bytes(text) <= 200:
        assert cut == text
    else:
        kept, _, said = cut.partition(" … (")
        assert len(kept) + int(said.split()[0].replace(",", "")) == length
        assert set(kept) == {sign}


def test_half_a_surrogate_pair_can_be_stored():
    """JSON can say it, and no request can."""
    assert shortened("a\ud800b", 200) == "a?b"


def test_within_json_a_quotation_mark_takes_two():
    assert json_bytes('"') == len(json.dumps('"')) * 2
