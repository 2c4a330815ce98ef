"""The compiler, where `make check-infra` has found one; `make test` needs none."""

import os

import pytest

from tests.infra.compiler import Compiler
from tests.infra.snapshots import INFRA


@pytest.fixture(scope="session")
def compiler():
    """One process for all tests. `BICEP` is the compiler's program."""
    if not (path := os.environ.get("BICEP")):
        pytest.skip("make check-infra, which finds the Bicep compiler")
    with Compiler(path) as compiler:
        yield compiler


@pytest.fixture(scope="session")
def template(compiler):
    """main.bicep as JSON."""
    return compiler.compile(INFRA / "main.bicep").template
