"""Writes shared/mapping/data_dictionary.py from pydicom's dictionary: `make docs`. A test keeps them the same."""

import json
import re
from pathlib import Path

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.valuerep import MAX_VALUE_LEN, VR_REGEXES

MAPPING = Path(__file__).parents[1] / "shared/mapping"
WRITTEN = MAPPING / "data_dictionary.py"
_NAMED = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\) ([A-Z]\w+)")
_PATTERNS = ("AS", "CS", "DS", "IS", "UI")
"""The VRs that shared/mapping/text.py holds against a pattern; dates, times and names are parsed there."""

_HEAD = '''"""What the mapping uses of pydicom's data dictionary (PS3.6) and value rules (PS3.5 6.2): by `make docs`.

To import pydicom itself costs a start a tenth of its CPU time, and 8 MB (docs/adr/0034-loaded-when-needed.md).
"""

from collections.abc import Mapping

'''


def written() -> str:
    """The module's text, of the tags that the mapping names. Raises ValueError where one has another keyword."""
    sources = [path.read_text(encoding="utf-8") for path in MAPPING.rglob("*.py")]
    named = sorted({match.groups() for source in sources for match in _NAMED.finditer(source)})
    attributes = {keyword: _attribute(group + element, keyword) for group, element, keyword in named}
    lengths = [f"    {json.dumps(vr)}: {length},\n" for vr, length in MAX_VALUE_LEN.items()]
    patterns = [f'    {json.dumps(vr)}: r"{VR_REGEXES[vr]}",\n' for vr in _PATTERNS]
    rows = [f"    {json.dumps(keyword)}: ({', '.join(map(json.dumps, row))}),\n" for keyword, row in attributes.items()]
    return (
        f"{_HEAD}ATTRIBUTES: Mapping[str, tuple[str, str, str]] = {{\n{''.join(rows)}}}\n"
        '"""Tag, VR and VM by keyword."""\n\n'
        f"MAX_LENGTHS: Mapping[str, int] = {{\n{''.join(lengths)}}}\n"
        '"""Characters of a value, by VR."""\n\n'
        f"PATTERNS: Mapping[str, str] = {{\n{''.join(patterns)}}}\n"
        '"""What a value matches, by VR."""\n'
    )


def _attribute(tag: str, keyword: str) -> tuple[str, str, str]:
    number = int(tag, 16)
    if tag_for_keyword(keyword) != number:
        raise ValueError(f"({tag}) {keyword}: the data dictionary has no such tag and keyword")
    return tag, dictionary_VR(number), dictionary_VM(number)


if __name__ == "__main__":
    WRITTEN.write_text(written(), encoding="utf-8")
