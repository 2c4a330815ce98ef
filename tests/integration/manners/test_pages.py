"""`Bundle.link[next]` in many spellings: the pages are read, on the configured origin alone."""

import pytest

from tests.integration.faults.proxy import proxy_to
from tests.integration.manners import manners as m
from tests.integration.manners.world import OBSERVATIONS

pytestmark = pytest.mark.timeout(60)

INNER = "http://fhir.cluster.internal:8080/hapi/r4"

LINKS = [
    # name, host in Fhir__Endpoint, the link, its {base} the configured one, {port} its port, {abroad} another server's
    ("the base, and a query", "127.0.0.1", "{base}?_getpages={token}&_count=2"),
    ("the type below the base", "127.0.0.1", "{base}/Observation?_getpages={token}"),
    ("an absolute path", "127.0.0.1", "/fhir?_getpages={token}"),
    ("a relative path", "127.0.0.1", "Observation?_getpages={token}"),
    ("the host in capitals", "localhost", "HTTP://LOCALHOST:{port}/fhir?_getpages={token}"),
    ("another name of the host", "127.0.0.1", "http://localhost:{port}/fhir?_getpages={token}"),
    ("another origin, a path of ours", "127.0.0.1", "{abroad}/fhir?_getpages={token}"),
    ("another origin without a scheme", "127.0.0.1", "//{abroad_host}/fhir?_getpages={token}"),
    ("another origin behind an @", "127.0.0.1", "http://127.0.0.1:{port}@{abroad_host}/fhir?_getpages={token}"),
    ("the inner base", "127.0.0.1", INNER + "?_getpages={token}"),
    ("the type below the inner base", "127.0.0.1", INNER + "/Observation?_getpages={token}"),
]  # fmt: skip

BAD_LINKS = [
    # name, the link, whether there is always another page
    ("another origin, a path of its own", "{abroad}/elsewhere?_getpages={token}", False),
    ("a path above the base", "{base}/../elsewhere?_getpages={token}", False),
    ("no URL", "http://[/fhir?_getpages={token}", False),
    ("itself", "{base}?_getpages=t0", False),
    ("pages without end", "{base}?_getpages={token}", True),
]  # fmt: skip


@pytest.fixture
def abroad(fhir_url):
    """Another server, which would answer; what it was asked is in `seen`."""
    with proxy_to(fhir_url.removesuffix("/fhir")) as proxy:
        yield proxy


@pytest.fixture
def paged(mannered, abroad):
    def make(link, host="127.0.0.1", *, is_endless=False):
        pages = m.Paged(lambda token: token, INNER if INNER in link else "", is_endless=is_endless)
        world = mannered(pages)
        port = world.fhir.server_address[1]
        base = f"http://{host}:{port}/fhir"
        told = {"base": base, "port": port, "abroad": abroad.url, "abroad_host": abroad.url.removeprefix("http://")}
        pages.link = lambda token: link.format(token=token, **told)
        world.settings["Fhir__Endpoint"] = base
        world.build()
        return world, f"{host}:{port}"

    return make


def stayed_at_home(world, host, abroad):
    assert {request.headers["host"] for request, _ in world.fhir.asked} == {host}
    assert abroad.seen == []


@pytest.mark.parametrize(("name", "host", "link"), LINKS, ids=[row[0] for row in LINKS])
def test_all_pages_are_read(paged, abroad, name, host, link):
    """A dose report of more events than a page holds: followed, read again without a write, gone with the report."""
    world, netloc = paged(link, host)
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    world.update(0, PatientID=world.patient("c"))
    world.drain()
    world.all_well(Patient=2, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)
    before = world.versions()
    world.read_again()
    assert world.versions() == before
    assert any("_getpages" in request.path for request, _ in world.fhir.asked), "there was no second page"
    world.delete(world.study(0), f"{world.study(0)}.9")
    world.drain()
    world.all_well(Patient=2, Endpoint=1, ImagingStudy=1)
    stayed_at_home(world, netloc, abroad)


@pytest.mark.parametrize(("name", "link", "is_endless"), BAD_LINKS, ids=[row[0] for row in BAD_LINKS])
def test_pages_that_cannot_be_read(paged, abroad, caplog, name, link, is_endless):
    """The study's report is not followed, which is told; nothing is asked abroad; other studies go on."""
    world, netloc = paged(link, is_endless=is_endless)
    world.store_study(0, "a")
    world.store_report()
    world.fhir.manners, pages = [], world.fhir.manners
    world.drain()
    world.fhir.manners = pages
    world.build()
    world.update(0, StudyDescription="Another description")
    world.store_study(2, "b")
    records = [world.tick() for _ in range(2)]
    assert len(world.studies(2)) == 1
    told = [row.reason for row in world.failures()] + [one.error or "" for one in records] + caplog.messages
    assert any("page" in one or "next" in one or "link" in one for one in told)
    assert len(world.fhir.asked) < 3000
    assert world.counts()["Observation"] == OBSERVATIONS
    stayed_at_home(world, netloc, abroad)
