"""Writes shared/mapping/snomed_rt.py from pydicom's copy of PS3.16's table: `make docs`. A test keeps them the same."""

from pathlib import Path
from textwrap import fill

from pydicom.sr._snomed_dict import mapping

WRITTEN = Path(__file__).parents[1] / "shared/mapping/snomed_rt.py"
_HEAD = '''"""Retired SNOMED RT codes and what they are in SNOMED CT: PS3.16 table O-1, as pydicom has it (`make docs`).

To be imported where a code of SNOMED RT is met, and not before: most archives have none.
"""

from collections.abc import Mapping
from functools import cache


@cache
def codes() -> Mapping[str, str]:
    """SNOMED CT's code by SNOMED RT's."""
    words = iter(_PAIRS.split())
    return dict(zip(words, words, strict=True))


_PAIRS = """
'''


def written() -> str:
    """The module's text."""
    pairs = " ".join(f"{former} {code}" for former, code in sorted(mapping["SRT"].items()))
    return f'{_HEAD}{fill(pairs, 119, break_on_hyphens=False)}\n"""\n'


if __name__ == "__main__":
    WRITTEN.write_text(written(), encoding="utf-8")
