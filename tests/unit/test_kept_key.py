"""`make run` keeps its function key: an open tab and a script go on after the next start."""

import stat

import pytest

from local.run import kept_key, key_file


def test_the_key_of_the_last_run_is_kept(tmp_path):
    """Nobody else of the machine may read it."""
    key = kept_key(tmp_path)
    assert len(key) > 30
    assert kept_key(tmp_path) == key
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize("held", ["", "short", "with blanks in it, and long enough", "ключ" * 8])
def test_what_is_no_key_is_replaced(tmp_path, held):
    """It goes into a URL's fragment, and into a header."""
    key_file(tmp_path).parent.mkdir()
    key_file(tmp_path).write_text(held, encoding="utf-8")
    key = kept_key(tmp_path)
    assert key != held
    assert kept_key(tmp_path) == key
