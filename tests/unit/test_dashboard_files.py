"""The dashboard's files: what is served is described, what is loaded is there, and nothing breaks the page's policy."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml

from shared.web import responses

WEB = Path(__file__).parents[2] / "shared/web"
FILES = {path.name: path for path in (WEB / "dashboard").iterdir()}
PAGES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items() if name.endswith(".html")}
MODULES = {
    name: path.read_text(encoding="utf-8")
    for name, path in FILES.items()
    if name.endswith(".js") and not name.startswith("uPlot")
}
MAX_LINES = 150


def test_every_file_is_served_and_described():
    """But for the dashboard itself, which is at /dashboard, and the licence of uPlot; pages without their ending."""
    description = yaml.safe_load((WEB / "openapi.yaml").read_text(encoding="utf-8"))
    [parameter] = description["paths"]["/dashboard/{file}"]["get"]["parameters"]
    served = FILES.keys() - {"dashboard.html", "uPlot.LICENSE.txt"}
    assert set(parameter["schema"]["enum"]) == {name.removesuffix(".html") for name in served}
    assert {responses.page(name).status_code for name in parameter["schema"]["enum"]} == {HTTPStatus.OK}


@pytest.mark.parametrize(("page", "where"), [("dashboard.html", "dashboard/"), ("study.html", "")])
def test_what_is_loaded_is_there(page, where):
    """By URLs relative to the page, at /dashboard or /dashboard/study: the route's prefix is the deployment's choice."""
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="(?!data:)([^"]+)"', PAGES[page])
    assert all(name.startswith(where) for name in loaded)
    assert {name.removeprefix(where) for name in loaded} <= FILES.keys()


def test_every_module_is_used():
    """By another, but for those that the pages begin with."""
    imported = {name for text in MODULES.values() for name in re.findall(r'(?:from|import) "\./([^"]+)"', text)}
    assert imported == MODULES.keys() - {"dashboard.js", "study.js"}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_page_holds_to_its_policy(page):
    """No script and no style in the markup."""
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", PAGES[page])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_data_never_becomes_markup(name):
    """Text nodes only; and a module stays short."""
    text = MODULES[name]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text
    )
    assert len(text.splitlines()) <= MAX_LINES
