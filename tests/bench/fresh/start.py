"""What a process of the Functions host costs before its first tick."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from tests.bench.fresh.parts import Parts
from tests.bench.fresh.row import Measured
from tests.bench.fresh.tree import Tree
from tests.bench.workloads import cr_studies

TIMES = 5
WITH_A_TICK = " with an idle tick"
"""What only the import does not need may be paid for a moment later."""
_PROGRAM = """
import json, re, time
import azure.data.tables, azure.functions, azure.storage.blob, pydantic, requests, tenacity
packages = time.process_time()
import function_app
%s
used = time.process_time()
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"CPU": used, "memory": int(peak[1]) / 1024, "packages": packages}))
"""
"""Not by getrusage: its peak is at least what the process had that started this one."""


def cold_start(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """CPU seconds and peak memory of `import function_app` in a fresh process, and with its first tick: the least of five."""
    with parts.archive(cr_studies(5)) as archive, parts.fhir() as fhir, parts.host(tree, archive, fhir) as host:
        settings = host.begin("cold")
        host.ticks_until_synced()
        figures, packages = {}, []
        for more, program in (("", ""), (WITH_A_TICK, "function_app.bootstrap.app().tick()")):
            runs = [_run(tree, settings, program) for _ in range(1 if is_quick else TIMES + 1)]
            figures |= {name + more: min(run[name] for run in runs[-TIMES:]) for name in ("CPU", "memory")}
            packages += [run["packages"] for run in runs]
        return Measured(
            figures, note=f"the packages that each tick needs, and Python itself, take {min(packages):.2f} s of it"
        )


def _run(tree: Tree, settings: Mapping[str, str], program: str) -> dict[str, float]:
    environment = {**os.environ, **settings, "PYTHONPATH": str(tree.path)}
    command = [sys.executable, "-P", "-c", _PROGRAM % program]
    told = subprocess.run(command, cwd=tree.path, env=environment, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(told.splitlines()[-1])
    return figures
