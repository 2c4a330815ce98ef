"""The README and docs/ say what the code does, and lead where they say."""

import re
from pathlib import Path

import pytest

from docs.readme_tables import TABLES, written
from shared.settings.config import SETTINGS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
MAX_LINES = 150
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "infra/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SUFFIXES = {".py", ".js", ".bicep", ".kql"}
CODE = [
    path for folder in ("shared", "infra") for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES
]
FENCED = re.compile(r"^( *)```.*?^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_the_tables_are_the_codes(path):
    """`make docs` writes them."""
    assert written(path) == path.read_text(encoding="utf-8")


def test_the_readme_is_read_in_one_go():
    """Tables and details are in docs/."""
    assert len(README.read_text(encoding="utf-8").splitlines()) < MAX_LINES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_make_target_that_is_named_is_there(path):
    """A command that a newcomer copies works."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }


@pytest.mark.parametrize("name", ["README.md", "docs/how-it-works.md", "docs/configuration.md", "docs/mapping.md"])
def test_settings_that_are_named_are_settings(name):
    """No setting is promised that nothing reads."""
    known = {setting.name for setting in SETTINGS}
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![},])\b((?:DicomCast|Patient|TableStore)__\w+)", text))
    assert named <= known


def test_no_command_needs_a_new_curl():
    """`--json` came with 7.82, and Debian 11 and RHEL 8 have older ones."""
    assert [path.name for path in PAGES if re.search(r"curl .*--json", path.read_text(encoding="utf-8"))] == []


def anchors(path):
    """The headings' anchors, as GitHub makes them."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    found = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", said).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{sum(one.startswith(slug) for one in found)}")
    return set(found)


def broken(path):
    """The links of a page that lead nowhere: no such file, no such heading."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    told = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            told.append(link)
    return told


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path):
    """To a file of this repository, and to a heading of it."""
    assert broken(path) == []


def test_a_broken_link_would_be_seen(tmp_path):
    """A file that is gone, a heading that was renamed; not what stands in a block of code."""
    (tmp_path / "b.md").write_text("# Two *words*, and `one`\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[](b.md#two-words-and-one) [](b.md#two) [](c.md) [](#here) [](https://x.example)\n```sh\n[](d.md)\n```\n"
    )
    assert broken(page) == ["b.md#two", "c.md", "#here"]


def test_places_that_the_app_names_are_there():
    """`docs/runbook.md, 'The tables'` is a heading of that page, or a recipe's bold beginning."""
    named = {found for path in CODE for found in re.findall(r"(docs/[\w-]+\.md)(?:, '([^']+)')?", joined(path))}
    assert ("docs/runbook.md", "First look") in named
    missing = []
    for name, place in named:
        text = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).exists() else ""
        if not text or (place and not re.search(rf"^(#+ |\*\*){re.escape(place)}\b", text, re.MULTILINE)):
            missing.append((name, place))
    assert missing == []


def joined(path):
    """The text of a file, with string literals that follow one another made one."""
    return re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
