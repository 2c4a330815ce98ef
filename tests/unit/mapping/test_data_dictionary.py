"""What the mapping knows of the data dictionary is what the installed pydicom says."""

from docs.data_dictionary import WRITTEN, written


def test_it_is_pydicoms():
    """A tag that the mapping names anew, and a release of pydicom that says otherwise, ask for `make docs`."""
    assert WRITTEN.read_text(encoding="utf-8") == written()
