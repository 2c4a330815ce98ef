"""What a process of the Functions host costs before its first tick."""

import json
import os
import subprocess
import sys

from tests.bench.fresh.parts import Parts
from tests.bench.fresh.row import Measured
from tests.bench.fresh.tree import Tree

TIMES = 5
_SETTINGS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DicomWeb__Endpoint": "http://127.0.0.1:1",
    "Fhir__Endpoint": "http://127.0.0.1:2",
}
"""Nothing is called at the start."""
_PROGRAM = """
import json, re, time
import function_app
used = time.process_time()
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"CPU": used, "memory": int(peak[1]) / 1024}))
"""
"""Not by getrusage: its peak is at least what the process had that started this one."""


def cold_start(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """CPU seconds and peak memory of `import function_app` in a fresh process: the least of five."""
    runs = [_run(tree) for _ in range(1 if is_quick else TIMES + 1)]
    return Measured({name: min(run[name] for run in runs[-TIMES:]) for name in ("CPU", "memory")})


def _run(tree: Tree) -> dict[str, float]:
    environment = {**os.environ, **_SETTINGS, "PYTHONPATH": str(tree.path)}
    command = [sys.executable, "-P", "-c", _PROGRAM]
    told = subprocess.run(command, cwd=tree.path, env=environment, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(told.splitlines()[-1])
    return figures
