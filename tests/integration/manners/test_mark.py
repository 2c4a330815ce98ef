"""`python -m local mark`: what an older release made, on a server that dropped `meta.source`, becomes known as ours."""

import argparse
from dataclasses import replace

import pytest
import requests

from local.mark import command
from local.mark.marking import BATCH
from local.processes import StackError
from tests.integration.manners import manners as m
from tests.integration.manners.world import writes

pytestmark = pytest.mark.timeout(120)

EVENTS = BATCH + 5
OBSERVATIONS = EVENTS + 1
EXPECTED = 1 + OBSERVATIONS


def mark(world, capsys, *words):
    """Exit code, the lines of its output, and what stands beside it."""
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers(dest="command"))
    asked = ["mark", "--fhir", f"{world.fhir.url}/fhir", "--dicom", world.feed.url, *words]
    code = command.mark(parser.parse_args(asked))
    told = capsys.readouterr()
    return code, told.out.splitlines(), told.err


def ours(world):
    held = world.held()
    return held.get("ImagingStudy", []) + held.get("Observation", [])


def reference(resource):
    return f"{resource['resourceType']}/{resource['id']}"


def unsign(world, resource, meta=None):
    """As an older release left it on a server that drops `meta.source`; HAPI keeps tags through a PUT."""
    tags = [{name: one[name] for name in ("system", "code")} for one in resource["meta"].get("tag", [])]
    body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": tags}}]}
    requests.post(f"{world.fhir_url}/{reference(resource)}/$meta-delete", json=body, timeout=30)  # 404 where not known
    world.edit(resource, meta=meta or {})


def older(world):
    """A study with a dose report, made without a sign."""
    world.store_study(0, "a")
    world.store_report(EVENTS)
    world.drain()
    for one in ours(world):
        unsign(world, one)
    assert not any(world.tagged(one) for one in ours(world))
    return sorted(map(reference, ours(world)))


KEPT = [
    # name, the manners
    ("meta.source is dropped", (m.source_dropped,)),
    ("small pages", (m.source_dropped, m.Paged(lambda token: f"?_getpages={token}"))),
    ("searches without meta", (m.source_dropped, m.searches_without_meta)),
    ("searches without versions", (m.source_dropped, m.versionless_searches)),
]


@pytest.mark.parametrize(("name", "manners"), KEPT, ids=[row[0] for row in KEPT])
def test_what_bears_no_sign_is_marked_and_then_goes_with_its_study(mannered, capsys, name, manners):
    """Named first, and not written; marked when that is wanted; a second run writes nothing."""
    world = mannered(*manners)
    unsigned = older(world)
    before = world.versions()
    code, lines, _ = mark(world, capsys)
    assert (code, sorted(line for line in lines if "/" in line and " " not in line)) == (0, unsigned)
    assert lines[-1].startswith(f"1 ImagingStudy, {OBSERVATIONS} Observation made for {world.feed.url} bear no sign.")
    assert world.versions() == before

    code, lines, _ = mark(world, capsys, "--yes")
    assert (code, lines[-1]) == (
        0,
        f"1 ImagingStudy, {OBSERVATIONS} Observation bore no sign; {EXPECTED} were marked, 0 are left",
    )
    assert all(world.tagged(one) for one in ours(world))
    assert f"Observation: {BATCH} of {OBSERVATIONS} done" in lines

    before = world.versions()
    assert mark(world, capsys, "--yes")[0] == 0
    assert world.versions() == before
    world.build()
    world.delete(world.study(0))
    world.drain()
    world.all_well(Patient=1, Endpoint=1)


def test_what_is_not_ours_stays_as_it_is(mannered, capsys):
    """Another system's source or DICOM service, an Observation of another code, a study without our Endpoint or UID."""
    world = mannered()
    world.store_all()
    world.drain()
    for one in ours(world):
        unsign(world, one)
    other = "https://other.example.org"
    claims = [
        {"meta": {"source": other}},
        {"meta": {"tag": [{"system": m.TAG_SYSTEM, "code": other}]}},
        {"endpoint": []},
    ]
    for number, claim in enumerate(claims):
        world.edit(world.imaging_study(number), **claim)
    mine, *others = world.held()["Observation"]
    study = reference(world.imaging_study(1))
    world.edit(mine, derivedFrom=[{"reference": study}])  # of a study that another DICOM service has claimed
    for one in others:
        world.edit(one, code={"text": "another code"})
    before = world.versions()
    code, lines, _ = mark(world, capsys, "--yes")
    assert (code, lines[-1]) == (0, "0 ImagingStudy, 0 Observation bore no sign; 0 were marked, 0 are left")
    assert world.versions() == before


def test_what_another_writes_meanwhile_is_kept(mannered, capsys):
    """The write that comes too late is refused, and made anew on what the other wrote."""
    world = mannered(m.source_dropped)
    older(world)
    note = [*world.imaging_study(0).get("note", []), {"text": "seen by the tumour board"}]
    was_written = world.once_before(
        lambda request: writes(request, "ImagingStudy", "PUT"), lambda: world.edit(world.imaging_study(0), note=note)
    )
    code, _, _ = mark(world, capsys, "--yes")
    assert (code, len(was_written)) == (0, 1)
    assert world.tagged(world.imaging_study(0))
    assert world.imaging_study(0)["note"] == note


def test_what_another_claims_meanwhile_is_theirs(mannered, capsys):
    """Between the reading and the write: the sign of ours is not put beside theirs."""
    world = mannered()
    older(world)
    other = {"source": "https://ris.example.org"}
    world.once_before(
        lambda request: writes(request, "ImagingStudy", "PUT"), lambda: world.edit(world.imaging_study(0), meta=other)
    )
    code, lines, _ = mark(world, capsys, "--yes")
    assert (code, lines[-1].partition("; ")[2]) == (0, f"{OBSERVATIONS} were marked, 0 are left")
    assert not world.tagged(world.imaging_study(0))


def test_what_the_server_refuses_is_named(mannered, capsys):
    """The others of its transaction are marked; the exit code is 1."""
    refused = []
    world = mannered(m.source_dropped, m.Refusing(lambda entry: entry["request"]["url"] in refused, 422))
    older(world)
    refused.append(reference(world.held()["Observation"][0]))
    code, lines, err = mark(world, capsys, "--yes")
    assert (code, lines[-1].partition("; ")[2]) == (1, f"{EXPECTED - 1} were marked, 1 are left")
    assert err.startswith(f"{refused[0]}: ")
    assert not world.tagged(world.held()["Observation"][0])


def test_a_data_partition_is_a_service_of_its_own(mannered, capsys):
    """Its own Endpoint and system of UIDs: only what it made is found."""
    world = mannered(m.source_dropped)
    older(world)
    with pytest.raises(StackError, match=f"no Endpoint 'DICOM WADO-RS endpoint {world.feed.url}/partitions/north'"):
        mark(world, capsys, "--partition", "north")


def tags_dropped(request, pass_on):
    """What a server that keeps nothing of `meta` stores."""
    entries = [
        {**one, "resource": {**one["resource"], "meta": {}}} if "resource" in one else one for one in request.writes
    ]
    return pass_on(replace(request, body={**request.body, "entry": entries}) if entries else request)


def test_a_server_that_keeps_no_tag_is_told(mannered, capsys):
    """After the first write, not after all of them."""
    world = mannered(tags_dropped)
    older(world)
    with pytest.raises(StackError, match=r"took a tag on ImagingStudy/\S+, and does not keep it"):
        mark(world, capsys, "--yes")
