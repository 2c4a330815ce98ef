"""`python -m tests.bench.audit`: the audit held to its word on the whole stack; writes docs/audit.md.

So many studies are synced, and drift of each kind is planted, by hands that no feed tells of. One round reports while
new studies come and the host is killed; another heals, likewise. What was found is held against what was planted, what
was healed against the independent comparison, and how often it was written against the versions that FHIR counts.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import requests

from local.compare import compare
from local.processes import StackError
from local.stack import PortNumbers, Stack, StackOptions
from local.stow import multipart
from tests.integration.dicom_service_client import dicom_file

FIRST_DAY, DAYS = date(2019, 1, 1), 1_800
UNDATED = 50
"""One study in so many has no StudyDate."""
AT_ONCE = 100
SETTINGS = {
    "SyncSchedule": "* * * * * *",
    "DicomCast__GapGracePeriod": "00:00:01",
    "DicomCast__LeaseDuration": "00:00:15",
    "DicomCast__AuditDeleteAfter": "00:00:01",
    "DicomCast__AuditRequestsPerHour": "10000000",
    "DicomCast__AuditMaxDeletes": "1000",
}
KILL_EVERY = 60
"""Seconds: a host that takes over waits up to 15 s for the lease of the one before; the rest is for the round."""
LATENCIES_MS = (5, 50, 250)


@dataclass
class World:
    """A stack with studies 1 to `count`, of one to three instances."""

    stack: Stack
    count: int
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method, path, **arguments):
        """The functions host, which may be down for a moment."""
        headers = {"x-functions-key": self.stack.function_key}
        url = f"{self.stack.functions_url}/api{path}"
        told = ""
        for _ in range(100):
            try:
                answer = requests.request(method, url, headers=headers, timeout=30, **arguments)
                if answer.status_code < 500:
                    return answer
                told = f"{answer.status_code} {answer.text[:300]}"
            except requests.ConnectionError as error:
                told = type(error).__name__
            time.sleep(0.2)
        raise AssertionError(f"{method} {path}: no answer: {told}")

    def store(self, numbers):
        def files(part):
            return [one for number in part for one in study(number)]

        def sent(part):
            body, content_type = multipart(files(part))
            url = f"{self.stack.dicom_url}/v2/studies"
            requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=120).raise_for_status()

        numbers = list(numbers)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(sent, (numbers[at : at + AT_ONCE] for at in range(0, len(numbers), AT_ONCE))))

    def drained(self):
        while True:
            status = self.call("GET", "/status").json()
            if status["lag"]["entries"] == 0 and status["latest"] and not status["lease"]["held"]:
                return
            time.sleep(0.5)

    def round(self, **body):
        """The state once a round has ended."""
        answer = self.call("POST", "/audit", json=body)
        assert answer.status_code == 202, answer.text
        while (state := self.call("GET", "/audit?size=1").json())["rounds"][0]["state"] in ("queued", "running"):
            time.sleep(0.5)
        return state["rounds"][0]

    def differences(self, *, only_open=True):
        """StudyInstanceUID -> kind of all rows."""
        found, after = {}, ""
        while True:
            page = self.call("GET", f"/audit?size=200&open={str(only_open).lower()}{after}").json()
            found |= {one["studyInstanceUID"]: one["kind"] for one in page["differences"]}
            if "next" not in page:
                return found
            after = f"&after={page['next']}"

    def held(self, number):
        query = {"identifier": f"urn:dicom:uid|urn:oid:{uid(number)}"}
        found = self.session.get(f"{self.stack.fhir_url}/ImagingStudy", params=query, timeout=60).json()
        return next((one["resource"] for one in found.get("entry", [])), None)

    def fhir(self, method, resource, **changed):
        url = f"{self.stack.fhir_url}/ImagingStudy/{resource['id']}"
        self.session.request(method, url, json={**resource, **changed}, timeout=60).raise_for_status()


def uid(number):
    return f"1.2.826.0.1.3680043.8.498.7.{number}"


def study(number):
    """The files of one study; each fiftieth has no day."""
    day = None if number % UNDATED == 0 else f"{FIRST_DAY + timedelta(days=number * 7 % DAYS):%Y%m%d}"
    return [
        dicom_file(
            StudyInstanceUID=uid(number), SeriesInstanceUID=f"{uid(number)}.1", SOPInstanceUID=f"{uid(number)}.1.{one}",
            PatientID=f"P-{number}", Modality="CT", StudyDate=day, StudyDescription="Thorax",
        )
        for one in range(1, 2 + number % 3)
    ]  # fmt: skip


def planted(world, each):
    """StudyInstanceUID -> kind of what was made to differ, in as many studies of each kind."""
    step = world.count // (6 * each)
    numbers = iter(range(3, world.count, step))
    drift = {}

    def some(kind):
        chosen = [next(numbers) for _ in range(each)]
        drift.update(dict.fromkeys(map(uid, chosen), kind))
        return [(number, world.held(number)) for number in chosen]

    gone = some("gone")
    for number, _ in gone:
        requests.delete(f"{world.stack.dicom_url}/v2/studies/{uid(number)}", timeout=60).raise_for_status()
    world.drained()
    for _, held in gone:
        again = {name: value for name, value in held.items() if name != "id"}
        requests.post(f"{world.stack.fhir_url}/ImagingStudy", json=again, timeout=60).raise_for_status()
    for _, held in some("missing"):
        world.fhir("DELETE", held)
    for _, held in some("series"):
        (series,) = held["series"]
        first, *rest = series["instance"]
        world.fhir("PUT", held, series=[{**series, "instance": [{**first, "uid": f"{first['uid']}.9"}, *rest]}])
    other = world.held(1)["subject"]
    for _, held in some("patient"):
        world.fhir("PUT", held, subject=other)
    for _, held in some("modality"):
        world.fhir("PUT", held, modality=[{**held["modality"][0], "code": "MR"}])
    for _, held in some("element"):
        world.fhir("PUT", {name: value for name, value in held.items() if name != "description"})
    return drift


@contextmanager
def disturbed(world, first):
    """New studies come, from this number on, and the host is killed; tells how many came and how often."""
    told = {"stored": 0, "kills": 0}
    over = threading.Event()

    def feed():
        while not over.wait(1):
            world.store(range(first + told["stored"], first + told["stored"] + 5))
            told["stored"] += 5

    def kill():
        while not over.wait(KILL_EVERY):
            world.stack.kill("functions")
            told["kills"] += 1
            while not world.stack.runs("functions"):
                with suppress(StackError):  # its port may be another connection's own for a moment
                    world.stack.start("functions")

    threads = [threading.Thread(target=one) for one in (feed, kill)]
    for one in threads:
        one.start()
    try:
        yield told
    finally:
        over.set()
        for one in threads:
            one.join()
        time.sleep(2)  # a host whose port was another connection's own ends by itself
        while not world.stack.runs("functions"):
            with suppress(StackError):
                world.stack.start("functions")


def measured(count, each):
    """The figures; AssertionError where the audit does not keep its word."""
    with tempfile.TemporaryDirectory() as directory:
        options = StackOptions(PortNumbers.free(), Path(directory), settings=SETTINGS | {"DicomCast__Audit": "report"})
        with Stack(options) as stack:
            yield from _measured(World(stack, count), each)


def _measured(world, each):
    world.store(range(1, world.count + 1))
    world.drained()
    yield "synced", world.count
    began = time.monotonic()
    first = world.round()
    yield "a first round, nothing to find", first["counts"] | {"seconds": round(time.monotonic() - began, 1)}
    assert (first["state"], first["counts"]["differed"], world.differences()) == ("done", 0, {}), first
    assert first["counts"]["compared"] == world.count, first
    drift = planted(world, each)
    with disturbed(world, world.count + 1) as told:
        found = world.round()
    yield "a round that reports, beside the feed and kills", found["counts"] | told
    assert world.differences() == drift, set(world.differences().items()) ^ set(drift.items())
    versions = {name: _version(world, name) for name, kind in drift.items() if kind not in ("gone", "missing")}
    world.stack.options.settings["DicomCast__Audit"] = "heal"
    world.stack.end("functions")
    world.stack.start("functions")
    with disturbed(world, world.count + 100_001) as told:
        healed = world.round()
    yield "a round that heals, likewise", healed["counts"] | told
    last = world.round()
    yield "the round behind it", last["counts"]
    assert (last["state"], last["counts"]["differed"], world.differences()) == ("done", 0, {}), last
    assert {name: _version(world, name) for name in versions} == {name: one + 1 for name, one in versions.items()}
    world.drained()
    differ = [one for one in compare(world.stack.dicom_url, world.stack.fhir_url, set()) if one.differences]
    yield "studies that differ by the independent comparison", len(differ)
    assert differ == [], differ[:3]


def _version(world, name):
    return int(world.held(int(name.rpartition(".")[2]))["meta"]["versionId"])


def document(count, each, figures):
    """docs/audit.md."""
    first = figures["a first round, nothing to find"]
    deep = figures["the round behind it"]
    per_read = deep["requests"] / deep["read"]
    per_thousand = 1_000 * first["requests"] / count
    lines = [
        "# The audit, measured",
        "",
        f"Made by `make bench-audit`: {count:,} studies on the whole stack, {each} of each of six kinds of drift. The command fails",
        "if a difference is missed, invented or healed twice, or if the independent comparison finds one that is left.",
        "",
        "| | compared | read closely | differed | healed | deleted | put off | requests | beside it |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- |",
    ]
    for name, one in figures.items():
        if isinstance(one, dict):
            beside = f"{one['stored']:,} studies came, {one['kills']} kills" if "kills" in one else ""
            told = [one[key] for key in ("compared", "read", "differed", "healed", "deleted", "putOff", "requests")]
            lines.append(f"| {name} | {' | '.join(f'{number:,}' for number in told)} | {beside} |")
    lines += [
        "",
        f"A round costs {per_thousand:.0f} requests per 1,000 studies, to both servers together; it reads one study in a hundred closely. Each",
        f"study that FHIR has written since ten minutes before the last round costs {per_read:.1f} more: above, nearly all in the two rounds",
        f"beside kills. 1,000 studies of the round with nothing to find took {1_000 * first['seconds'] / count:.1f} s. A million studies take:",
        "",
        "| a request takes | a round of a million studies |",
        "| ---: | ---: |",
        *(f"| {ms} ms | {1_000 * per_thousand * ms / 3_600_000:.1f} h |" for ms in LATENCIES_MS),
        f"| at `DicomCast__AuditRequestsPerHour` = 2000 | {1_000 * per_thousand / 2_000:.0f} h |",
        "",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.bench.audit", description=__doc__)
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=20, help="studies of each kind of drift")
    parser.add_argument("--write", type=Path, help="the page to write")
    asked = parser.parse_args()
    figures = {}
    for name, one in measured(asked.studies, asked.each):
        figures[name] = one
        print(f"{name}: {json.dumps(one)}", flush=True)
    text = document(asked.studies, asked.each, figures)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
