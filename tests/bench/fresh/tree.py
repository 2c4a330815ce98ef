"""A tree of code that is measured: this one, or that of a commit, in a worktree that is made and removed."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.stack import ROOT

BASELINE = "b2c6a7d"
"""Before servers, truth, bulkheads and rows: what the bars were set against."""


@dataclass(frozen=True, slots=True)
class Tree:
    """`name` is told in the table."""

    name: str
    path: Path


HERE = Tree("now", ROOT)
_GIT = ["git", "-C", ROOT]


@contextmanager
def baseline(commit: str) -> Iterator[Tree]:
    """Raises CalledProcessError where there is no such commit, as in a shallow clone."""
    with tempfile.TemporaryDirectory(prefix="bench-baseline-") as folder:
        path = Path(folder) / "tree"
        subprocess.run([*_GIT, "worktree", "add", "--quiet", "--detach", path, commit], check=True)
        try:
            yield Tree(commit, path)
        finally:
            subprocess.run([*_GIT, "worktree", "remove", "--force", path], check=True)
