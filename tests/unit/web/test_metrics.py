"""The status in Prometheus' text format; what is ready in docs/ asks for metrics that there are."""

import json
import re
from dataclasses import replace
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from shared.errors import FhirRefusedError, OutageError
from shared.mapping.codes import CODED
from shared.mapping.mapping_options import MappingOptions
from shared.model.audit import Kind, OneStudy, RoundState
from shared.model.outcome import DURATION_BUCKETS, TickDurations
from shared.sync.batch import BatchOptions
from shared.sync.status.outages import OutageLog
from shared.sync.status.snapshot import State
from shared.sync.status.status import status
from shared.sync.tick import tick
from shared.web.metrics import metrics_text
from tests.fakes import NOW, FakeFeed, FakeFhir, FakeJournal, entry, ports
from tests.unit.sync.audited import World, many

DOCS = Path(__file__).parents[3] / "docs"
OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)
_CODE = {"00080100": {"vr": "SH", "Value": ["X1"]}, "00080102": {"vr": "SH", "Value": ["99OWN"]}}
SITES_OWN = {"vr": "SQ", "Value": [_CODE]}
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus itself says of each target."""
OF_THE_SCRAPE = {"job", "instance"}
"""Labels that Prometheus gives to all that it reads."""


class NoFhir(FakeFhir):
    def ensure_answers(self):
        raise OutageError("FHIR server", "not reachable")


class NoFeed(FakeFeed):
    def latest(self):
        raise OutageError("DICOM service", "not reachable")


class NoJournal(FakeJournal):
    def read(self):
        raise OutageError("storage", "not reachable")


def exposed(fakes):
    """What Prometheus' own parser reads: value by name and labels."""
    families = text_string_to_metric_families(metrics_text(status(fakes, "1.2.3", {})))
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def by(samples, name, label):
    """The values of a metric with one label, by it."""
    return {key[1][1]: value for key, value in samples.items() if key[0] == name and key[1][0] == label}


def synced(*entries, fhir=None):
    """The parts after one tick."""
    fakes = ports(list(entries), **({"fhir": fhir} if fhir else {}))
    tick(fakes, OPTIONS, OutageLog(fakes.now))
    return fakes


def test_what_a_tick_did_is_counted_by_its_outcome():
    """Entries and ticks have an `outcome`; those that there were none of are 0, so that the first is an increase."""
    fakes = synced(entry(1), entry(2, study="1.9", t00100020=None))
    tick(fakes, OPTIONS, OutageLog(fakes.now))
    found = exposed(fakes)
    assert by(found, "dicom_cast_entries_total", "outcome") == {"written": 1, "unchanged": 0, "failed": 1}
    ticks = {"synced": 1, "idle": 1, "standstill": 0, "stopped": 0, "failed": 0}
    assert by(found, "dicom_cast_ticks_total", "outcome") == ticks
    assert by(found, "dicom_cast_tick_duration_seconds_count", "outcome") == ticks
    assert found["dicom_cast_watermark_sequence",] == 2


def test_codings_without_a_system_are_counted_by_their_element():
    """As often as they are written; what stands there, or a second run finds, is not told again."""
    fakes = synced(*(entry(n, instance=f"1.2.9.{n}", t00081032=SITES_OWN) for n in (1, 2)))
    expected = dict.fromkeys(CODED, 0) | {"ImagingStudy.procedureCode": 1}
    assert by(exposed(fakes), "dicom_cast_codings_without_system_total", "element") == expected
    fakes.feed.held += (entry(3, instance="1.2.9.3", t00081032=SITES_OWN), entry(4, study="1.9", t00081032=SITES_OWN))
    tick(fakes, OPTIONS, OutageLog(fakes.now))
    expected |= {"ImagingStudy.procedureCode": 2}
    assert by(exposed(fakes), "dicom_cast_codings_without_system_total", "element") == expected


def test_a_tick_that_failed_is_counted():
    """Also where it met an outage, and says which system is down and which state that is."""
    found = exposed(synced(fhir=NoFhir()))
    assert by(found, "dicom_cast_ticks_total", "outcome")["failed"] == 1
    assert by(found, "dicom_cast_up", "system") == {"storage": 1, "DICOM service": 1, "FHIR server": 0}
    assert by(found, "dicom_cast_state", "state") == {one: one is State.NOT_SYNCING for one in State}
    assert found["dicom_cast_state_since_timestamp_seconds",] == NOW.timestamp()


def test_what_the_audit_left_open_is_told():
    """By kind, with 0 for the others; and of the last round of all studies that came to its end."""
    world = World(*many(3))
    assert by(exposed(world.ports), "dicom_cast_audit_open_differences", "kind") == dict.fromkeys(Kind, 0)
    assert ("dicom_cast_audit_compared_studies",) not in exposed(world.ports)
    world.loses("1.2.1")
    world.audit()
    world.audit(scope=OneStudy("1.2.2"))
    found = exposed(world.ports)
    open_ = by(found, "dicom_cast_audit_open_differences", "kind")
    assert {kind: count for kind, count in open_.items() if count} == {Kind.MISSING: 1}
    assert (found["dicom_cast_audit_compared_studies",], found["dicom_cast_audit_deletes_waiting",]) == (3, 0)
    assert found["dicom_cast_audit_last_round_timestamp_seconds",] == world.rounds.held[1].updated.timestamp()


@pytest.mark.parametrize(("says", "state", "waits"), [
    ("the change feed goes first", RoundState.QUEUED, 1), ("503", RoundState.RUNNING, 1),
    (None, RoundState.RUNNING, 0), ("503", RoundState.FAILED, 0),
])  # fmt: skip
def test_that_a_round_of_the_audit_waits_is_told(says, state, waits):
    """While it is under way; a round that has failed waits no more."""
    world = World(*many(3))
    world.ask()
    world.rounds.write(replace(world.rounds.current(), state=state, waiting_for=says))
    assert exposed(world.ports)["dicom_cast_audit_waits",] == waits


def test_the_version_is_told():
    """As a label, beside a 1."""
    assert exposed(ports())["dicom_cast_build_info", ("version", "1.2.3")] == 1


@pytest.mark.parametrize(
    ("parts", "missing", "down"),
    [
        ({"feed": NoFeed()}, "dicom_cast_latest_sequence", "DICOM service"),
        ({"journal": NoJournal()}, "dicom_cast_ticks_total", "storage"),
    ],
    ids=["feed", "storage"],
)
def test_what_is_not_known_is_left_out(parts, missing, down):
    """Never 0: a gap in a plot is true."""
    found = exposed(ports([entry(1)], **parts))
    assert missing not in {key[0] for key in found}
    assert found["dicom_cast_up", ("system", down)] == 0


@pytest.mark.parametrize(
    ("seconds", "at_most"),
    [(0.0, "0.5"), (0.5, "0.5"), (0.501, "1.0"), (240.0, "240.0"), (900.0, "+Inf")],
)
def test_a_ticks_duration_falls_into_one_bucket(seconds, at_most):
    """The bounds belong to their bucket, as Prometheus' `le` says."""
    took = TickDurations().with_tick(seconds)
    assert (took.buckets, took.ticks, took.seconds) == ({at_most: 1}, 1, seconds)


def test_the_durations_are_a_histogram():
    """Each bucket counts those below it too; the last one counts all."""
    fakes = synced(entry(1))
    for seconds in (0.2, 0.7, 0.7, 3000.0):
        journal = fakes.journal.read()
        fakes.journal.write(journal.with_tick(replace(journal.last, duration_seconds=seconds)))
    found = exposed(fakes)
    name = "dicom_cast_tick_duration_seconds"
    counts = [found[f"{name}_bucket", ("le", bucket), ("outcome", "synced")] for bucket in DURATION_BUCKETS]
    assert counts == [2, 4, 4, 4, 4, 4, 4, 4, 4, 5]
    assert found[f"{name}_sum", ("outcome", "synced")] == 3001.6


def rules():
    """Each rule's expression."""
    groups = yaml.safe_load((DOCS / "prometheus-rules.yaml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels():
    """Each panel's expressions, with what Grafana puts in for its variables."""
    board = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    said = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel["targets"]
    }
    return {name: expr.replace("$__rate_interval", "5m").replace("$instance", "app") for name, expr in said.items()}


READY = rules() | panels()


@pytest.fixture(scope="module")
def all_exposed():
    """Labels and their values by metric, where all is known and some of it failed."""
    fakes = synced(entry(1), entry(2, study="1.9", t00100020=None), fhir=FakeFhir(faults=[FhirRefusedError("422")]))
    world = World(*many(3))
    world.audit()
    labels: dict[str, dict[str, set[str]]] = {}
    for name, *pairs in exposed(replace(fakes, audit=world.ports.audit)):
        of_name = labels.setdefault(name, {})
        for label, value in pairs:
            of_name.setdefault(label, set()).add(value)
    return labels


def unknown(expr, labels):
    """What an expression asks for that nobody says: metrics, labels, values of labels."""
    told = []
    for name, _, matchers in re.findall(r"\b(dicom_cast_\w+|up)\b(\{([^}]*)\})?", expr):
        if name not in labels and name not in OF_PROMETHEUS:
            told.append(name)
            continue
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
            if label not in OF_THE_SCRAPE and value not in labels.get(name, {}).get(label, ()):
                told.append(f'{name}{{{label}="{value}"}}')
    known = {"le", *OF_THE_SCRAPE}.union(*labels.values())
    return told + [
        label
        for some in re.findall(r"(?:by|without) \(([^)]*)\)", expr)
        for label in some.split(", ")
        if label not in known
    ]


@pytest.mark.parametrize("name", READY)
def test_prometheus_can_read_the_expression(name):
    """By a parser of PromQL that is not ours: a rule that Prometheus cannot read keeps all of its file from loading."""
    promql_parser.parse(READY[name])


@pytest.mark.parametrize("name", READY)
def test_rules_and_dashboard_ask_for_what_is_said(name, all_exposed):
    """Every metric, label and label's value in docs/prometheus-rules.yaml and docs/grafana-dashboard.json is exposed."""
    assert unknown(READY[name], all_exposed) == []


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("dicom_cast_entries_written_total > 0", ["dicom_cast_entries_written_total"]),
        ('dicom_cast_state{state="not_syncing"} == 1', ['dicom_cast_state{state="not_syncing"}']),
        ('dicom_cast_up{part="storage"} == 0', ['dicom_cast_up{part="storage"}']),
        ("sum by (fate) (dicom_cast_entries_total)", ["fate"]),
    ],
)
def test_a_wrong_rule_would_be_seen(expr, said, all_exposed):
    """A name of before, a value that is none, a label that is none."""
    assert unknown(expr, all_exposed) == said


def test_each_metric_is_told_in_the_docs(all_exposed):
    """docs/telemetry.md lists what is exposed, and nothing else."""
    text = (DOCS / "telemetry.md").read_text(encoding="utf-8")
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in all_exposed}
    assert set(re.findall(r"`(dicom_cast_\w+)`", text)) == families


def test_the_scrape_is_the_apps():
    """The configuration in docs/telemetry.md is YAML, and asks the route and format that openapi.yaml describes."""
    text = (DOCS / "telemetry.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (job,) = yaml.safe_load(block)["scrape_configs"]
    described = yaml.safe_load((DOCS.parent / "shared/web/openapi.yaml").read_text(encoding="utf-8"))
    base = described["servers"][0]["url"]
    (parameter,) = described["paths"][job["metrics_path"].removeprefix(base)]["get"]["parameters"]
    assert job["params"] == {parameter["name"]: ["prometheus"]}
    assert "prometheus" in parameter["schema"]["enum"]
    assert f'up{{job="{job["job_name"]}"}} == 0' in rules().values()
    assert described["components"]["securitySchemes"]["functionKey"]["name"] in job["http_headers"]
