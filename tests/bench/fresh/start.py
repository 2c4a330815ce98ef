"""What a process of the Functions host costs before its first tick."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench.fresh.parts import Parts
from tests.bench.fresh.row import Measured
from tests.bench.fresh.tree import Tree
from tests.bench.workloads import cr_studies

TIMES = 5
WITH_A_TICK = " with an idle tick"
"""What only the import does not need may be paid for a moment later."""
_PROGRAM = """
import json, re, time
%s
used = time.process_time()
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"CPU": used, "memory": int(peak[1]) / 1024}))
"""
"""Not by getrusage: its peak is at least what the process had that started this one."""
_APP = "import function_app"
_PACKAGES = "import azure.data.tables, azure.functions, azure.storage.blob, requests, tenacity"


def cold_start(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """CPU seconds and peak memory of `import function_app` in a fresh process, and with its first tick: the least of five.

    Without `.pyc` files of the app, as from a package that is mounted read-only.
    """
    with (
        parts.archive(cr_studies(5)) as archive,
        parts.fhir() as fhir,
        parts.host(tree, archive, fhir) as host,
        tempfile.TemporaryDirectory(prefix="bench-package-") as package,
    ):
        settings = host.begin("cold")
        host.ticks_until_synced()
        shutil.copy(tree.path / "function_app.py", package)
        shutil.copytree(tree.path / "shared", Path(package, "shared"), ignore=shutil.ignore_patterns("__pycache__"))
        figures = {}
        for more, program in (("", _APP), (WITH_A_TICK, f"{_APP}; function_app.bootstrap.app().tick()")):
            runs = [_run(package, settings, program) for _ in range(1 if is_quick else TIMES + 1)]
            figures |= {name + more: min(run[name] for run in runs[-TIMES:]) for name in ("CPU", "memory")}
        packages = min(_run(package, settings, _PACKAGES)["CPU"] for _ in range(TIMES))
        return Measured(
            figures, note=f"the packages that every start needs, and Python itself, take {packages:.2f} s of it"
        )


def _run(package: str, settings: Mapping[str, str], program: str) -> dict[str, float]:
    environment = {**os.environ, **settings, "PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", _PROGRAM % program]
    told = subprocess.run(command, cwd=package, env=environment, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(told.splitlines()[-1])
    return figures
