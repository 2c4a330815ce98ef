"""The Bicep compiler, asked by its JSON-RPC: the methods behind `bicep lint`, `build-params`, `snapshot` and `format`.

One process answers all questions, in about a second each; as commands each would start for three seconds first.
"""

import json
import os
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

VERSION = "0.49.2"
"""The snapshots are this version's, to the letter."""
DEPLOYMENT = {
    "tenantId": "00000000-0000-0000-0000-000000000002",
    "subscriptionId": "00000000-0000-0000-0000-000000000001",
    "resourceGroup": "dicom-cast",
    "location": "westeurope",
    "deploymentName": "dicom-cast",
}
"""Where a snapshot is taken, as none is deployed."""


class CompilerError(Exception):
    """The compiler answers with an error of its own, as it does for a snapshot that cannot be evaluated."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What the compiler or its linter says of one place. `level` is Error, Warning or Info."""

    path: Path
    line: int
    level: str
    code: str
    message: str

    def __str__(self):
        return f"{self.path.name}:{self.line}: {self.level} {self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A file's diagnostics and, where there is no error among them, its template as JSON."""

    diagnostics: list[Diagnostic]
    template: dict | None


class Compiler(AbstractContextManager):
    """One process of the compiler; `path` is its program."""

    def __init__(self, path):
        # azd's parameters are read from the environment: it is to be the same on every machine.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        environment["DOTNET_TieredPGO"] = "0"  # profiling for a longer life than this one: a third of its time
        self.path = path
        self._process = subprocess.Popen(
            [path, "jsonrpc", "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._asked = 0

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def version(self):
        """As `bicep --version` says it."""
        return self._ask("version")["version"]

    def compile(self, path):
        """A `.bicep` file: `bicep lint` and `bicep build`."""
        answer = self._ask("compile", path=str(path))
        return _compiled(answer, answer.get("contents"))

    def compile_parameters(self, path):
        """A `.bicepparam` file with the template that it is for: `bicep build-params`."""
        answer = self._ask("compileParams", path=str(path), parameterOverrides={})
        return _compiled(answer, answer.get("template"))

    def snapshot(self, path):
        """All resources of a deployment with their resolved values: `bicep snapshot`. CompilerError.

        The compiler gives the outputs in another order each time; here they are sorted.
        """
        snapshot = json.loads(self._ask("getSnapshot", path=str(path), metadata=DEPLOYMENT)["snapshot"])
        return snapshot | {"outputs": dict(sorted(snapshot["outputs"].items()))}

    def formatted(self, path):
        """`bicep format --stdout`."""
        return self._ask("format", path=str(path))["contents"]

    def files_of(self, path):
        """The file, the modules and the other files that it takes in."""
        return {Path(one) for one in self._ask("getFileReferences", path=str(path))["filePaths"]}

    def _ask(self, method, **params):
        self._asked += 1
        asked = {"jsonrpc": "2.0", "id": self._asked, "method": f"bicep/{method}", "params": params}
        body = json.dumps(asked).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.read(self._length()))
        if "error" in answer:
            raise CompilerError(answer["error"]["message"])
        return answer["result"]

    def _length(self):
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return length


def _compiled(answer, template):
    diagnostics = [
        Diagnostic(
            Path(unquote(urlsplit(one["source"]).path)),
            one["range"]["start"]["line"] + 1,
            one["level"],
            one["code"],
            one["message"],
        )
        for one in answer["diagnostics"]
    ]
    return Compiled(diagnostics, json.loads(template) if template else None)
