"""`python -m local acceptance`: says what it will write, runs the life cycle, removes all, and prints the result."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from local.acceptance.archive import Archive
from local.acceptance.host import NotSyncedError, settings_for
from local.acceptance.ledger import Ledger, LedgerError
from local.acceptance.life_cycle import LifeCycle
from local.acceptance.probe import results
from local.acceptance.promises import BrokenError, Promises
from local.acceptance.removal import Removal, Removed
from local.acceptance.report import document, removed_lines, server_rows, table
from local.acceptance.scene import Scene
from local.acceptance.search_probes import SearchProbes
from local.acceptance.server import FAULTS, FhirServer
from local.acceptance.sizes import WHOLE, Sizes
from local.acceptance.traffic import Traffic
from local.acceptance.write_probes import WriteProbes, traffic_rows
from local.base_url import base_url
from local.fhir_settings import fhir_service, settings_for_fhir
from local.functions_host.settings import HostError
from local.processes import StackError
from local.stack import PortNumbers, Stack, StackOptions
from shared.errors import DicomCastError

HELD, BROKEN, NOT_AGREED = 0, 1, 2
_WILL = """\
run        {run}
It will write to this server: some 70 studies with their Patients, Observations and one Endpoint, under PatientIDs, UIDs
and a DICOM service URL that are of this run alone; some of them it updates and deletes again. It writes to nothing
else, and removes all of it at the end. The ids are noted in {directory}.
Use a server of a test environment: versions and audit records of what was removed may stay there."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line's options. `root`: the folder of the runs' ledgers."""

    fhir_url: str | None
    settings: Path | None
    is_agreed: bool
    as_json: bool
    clean: str | None
    root: Path
    sizes: Sizes = WHOLE


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command `acceptance` and its options."""
    purpose = "try the app's whole life cycle on a FHIR server of a test environment, and remove all that it wrote"
    parser = commands.add_parser("acceptance", help=purpose, description=f"{purpose}.")
    parser.add_argument("--fhir", type=base_url, metavar="URL", help="base URL of the FHIR R4 server")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the app's settings for it, Fhir__*, as in local.settings.json"
    )
    parser.add_argument("--yes", action="store_true", help="write; without it the server is only asked what it is")
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON document")
    parser.add_argument("--clean", metavar="RUN", help="only remove what a run left that was interrupted")


def accept(arguments: argparse.Namespace, root: Path, sizes: Sizes = WHOLE) -> int:
    """Runs the command. `root`: the folder of the runs' ledgers.

    Returns the exit code: 0 only if every promise holds and all was removed; 2 without `--yes`. Raises StackError.
    """
    options = Options(arguments.fhir, arguments.settings, arguments.yes, arguments.json, arguments.clean, root, sizes)
    if not (options.fhir_url or options.clean):
        raise StackError("name the FHIR server: --fhir URL")
    try:
        return _clean(options) if options.clean else _accept(options)
    except (LedgerError, HostError, DicomCastError, *FAULTS) as error:
        raise StackError(str(error)) from error


def _accept(options: Options) -> int:
    """Runs the life cycle and removes what it made, also if it is interrupted. Returns the exit code."""
    assert options.fhir_url
    report = _printer(options)
    run = str(uuid4())
    ledger = Ledger(options.root / run, run, options.fhir_url.rstrip("/"))
    server = _server(ledger, options.settings)
    rows = server_rows(server.url, server.statement())
    report(table(rows))
    report(_WILL.format(run=run, directory=ledger.directory))
    if not options.is_agreed:
        print("nothing was written: say --yes to go on", file=sys.stderr)
        return NOT_AGREED
    ledger = Ledger.begin(options.root, run, server.url)
    promises = Promises(report)
    with _logged(ledger.directory / "app.log"):
        try:
            rows |= _run_life_cycle(options, ledger, server, promises)
        except BaseException:
            report("the run was cut short: removing what it made")
            _report_removed(report, _remove(server, ledger), ledger)
            raise
        removed = _remove(server, ledger)
    with promises.judged("all that the run made can be removed") as seen:
        if removed.left:
            raise BrokenError(f"{len(removed.left)} resources are left")
        seen.append(f"{removed.count} resources")
    report(f"\nwhat the server does\n{table(rows)}\n")
    _report_removed(report, removed, ledger)
    report("every promise holds" if promises.all_hold else "not every promise holds on this server")
    if options.as_json:
        print(document(run, rows, promises, removed))
    return HELD if promises.all_hold else BROKEN


def _run_life_cycle(options: Options, ledger: Ledger, server: FhirServer, promises: Promises) -> dict[str, str]:
    """Runs the probes and the life cycle, with a DICOM service and an Azurite of its own.

    Returns the rows of the table of what the server does.
    """
    searches = SearchProbes(server, ledger)
    rows = dict(results([*WriteProbes(server, ledger).rows(), *searches.rows()]))
    stack = Stack(StackOptions(PortNumbers.free(), ledger.directory))
    try:
        stack.start("azurite", "dicom")
        settings = settings_for(ledger, options.settings, stack.storage_connection, stack.dicom_url)
        traffic = Traffic(ledger)
        life = LifeCycle(Scene(settings, Archive(stack.dicom_url), server, ledger, traffic, options.sizes))
        promises.try_all(life.storing(), NotSyncedError)
        rows |= dict(results(searches.page_rows(life.report_uid)))
        promises.try_all(life.changing(), NotSyncedError)
        return rows | dict(traffic_rows(traffic))
    finally:
        stack.stop()


def _clean(options: Options) -> int:
    """Removes what an earlier run left. Returns the exit code."""
    assert options.clean
    ledger = Ledger.open(options.root, options.clean)
    server = _server(ledger, options.settings)
    report = _printer(options)
    report(table(server_rows(server.url, server.statement())))
    removed = _remove(server, ledger)
    _report_removed(report, removed, ledger)
    if options.as_json:
        print(document(ledger.run, {"URL": server.url}, Promises(report), removed))
    return BROKEN if removed.left else HELD


def _server(ledger: Ledger, file: Path | None) -> FhirServer:
    """The ledger's FHIR server, called with the app's settings in the file."""
    return FhirServer(fhir_service(settings_for_fhir(file, ledger.fhir_url, ledger.service_url)))


def _remove(server: FhirServer, ledger: Ledger) -> Removed:
    return Removal(server, ledger).remove_all()


def _report_removed(report: Callable[[str], None], removed: Removed, ledger: Ledger) -> None:
    for line in removed_lines(removed):
        report(line)
    if removed.left:
        report(f"to try again: python -m local acceptance --clean {ledger.run}")


def _printer(options: Options) -> Callable[[str], None]:
    """A function that prints a line; to stderr if stdout is for JSON."""
    return lambda line: print(line, file=sys.stderr if options.as_json else sys.stdout, flush=True)


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Writes the app's log to the file, until the block ends."""
    app, root = logging.getLogger("shared"), logging.getLogger()
    level = app.level
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s %(message)s"))
    app.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        app.setLevel(level)
        root.removeHandler(handler)
        handler.close()
