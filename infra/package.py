"""`make package`: the zip that `func azure functionapp publish` would upload. .funcignore says what is left out."""

import os
import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / ".local" / "dicom-cast.zip"
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def packaged(root: Path) -> list[Path]:
    """The files that .funcignore lets through, relative to the root, in order."""
    ignored = _pattern((root / ".funcignore").read_text(encoding="utf-8"))
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        # A pattern is a beginning: what is in a folder that it fits is left out with it.
        folders[:] = [name for name in folders if not ignored.match((here / name).as_posix())]
        found += [here / name for name in files if not ignored.match((here / name).as_posix())]
    return sorted(found)


def _pattern(funcignore: str) -> re.Pattern[str]:
    """Core Tools' own rule (GitIgnoreParser.cs): from the root on, to the end of a word; `*` stays within a folder.

    Lines that begin with `!` are not for this app.
    """
    lines = (line.strip().removeprefix("/") for line in funcignore.splitlines())
    escaped = (re.escape(line) for line in lines if line and not line.startswith("#"))
    patterns = [line.replace(r"\*\*", ".+").replace(r"\*", "[^/]+") for line in escaped]
    return re.compile(rf"(?:{'|'.join(patterns)})\b")


def write(root: Path, target: Path) -> None:
    """The package. The same files give the same bytes, so that a deployment can be told by its hash."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for path in packaged(root):
            entry = zipfile.ZipInfo(path.as_posix(), _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, (root / path).read_bytes())


def main() -> None:
    """Says what was made, and how large it is."""
    write(ROOT, PACKAGE)
    told = f"{PACKAGE.relative_to(ROOT)}: {len(packaged(ROOT))} files, {PACKAGE.stat().st_size / 1000:.0f} kB"
    sys.stdout.write(f"{told}; its libraries are installed from requirements.txt by the remote build\n")


if __name__ == "__main__":
    main()
