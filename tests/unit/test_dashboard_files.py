"""The dashboard's files: what is served is described, what is loaded is there, and nothing breaks the page's policy."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml

from shared.web import answers

WEB = Path(__file__).parents[2] / "shared/web"
FILES = {path.name: path for path in (WEB / "dashboard").iterdir()}
PAGE = FILES["dashboard.html"].read_text(encoding="utf-8")
MODULES = {
    name: path.read_text(encoding="utf-8")
    for name, path in FILES.items()
    if name.endswith(".js") and not name.startswith("uPlot")
}
MAX_LINES = 150


def test_every_file_is_served_and_described():
    """But for the page itself, which is at /dashboard, and the licence of uPlot."""
    description = yaml.safe_load((WEB / "openapi.yaml").read_text(encoding="utf-8"))
    [parameter] = description["paths"]["/dashboard/{file}"]["get"]["parameters"]
    assert set(parameter["schema"]["enum"]) == FILES.keys() - {"dashboard.html", "uPlot.LICENSE.txt"}
    assert {answers.page(name).status_code for name in parameter["schema"]["enum"]} == {HTTPStatus.OK}


def test_what_is_loaded_is_there():
    """By URLs relative to the page: the route's prefix is the deployment's choice."""
    loaded = re.findall(r'(?:src|href)="(?!data:|#)([^"]+)"', PAGE)
    assert {name.removeprefix("dashboard/") for name in loaded} <= FILES.keys()
    imported = {name for text in MODULES.values() for name in re.findall(r'(?:from|import) "\./([^"]+)"', text)}
    assert imported == MODULES.keys() - {"dashboard.js"}


def test_the_page_holds_to_its_policy():
    """No script and no style in the markup."""
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", PAGE)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_data_never_becomes_markup(name):
    """Text nodes only; and a module stays short."""
    text = MODULES[name]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text
    )
    assert len(text.splitlines()) <= MAX_LINES
