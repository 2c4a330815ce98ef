"""What the app costs while nothing arrives: what docs/deploy.md reckons its price from."""

import time

from tests.bench.fresh.parts import Parts, port_of
from tests.bench.fresh.row import Measured
from tests.bench.fresh.tree import Tree
from tests.bench.workloads import cr_studies

FIGURES = {
    "ticks": "",
    "blob requests": "",
    "table requests": "",
    "DICOM requests": "",
    "FHIR requests": "",
    "CPU": "s",
}
"""By unit, per hour."""
SECONDS, HOUR = 600, 3600


def idle(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Requests and CPU seconds in an hour of ticks, from ten minutes of a clock that is set."""
    seconds = 60 if is_quick else SECONDS
    with parts.archive(cr_studies(5)) as archive, parts.fhir() as fhir, parts.host(tree, archive, fhir) as host:
        host.begin("idle", clock=time.time() - 2 * seconds)
        host.ticks_until_synced()
        host.ask("count")
        told = host.ask("idle", seconds)
        sent = host.ask("counted")
    ports = {"blob": parts.blob_port, "table": parts.table_port, "DICOM": archive.port, "FHIR": port_of(fhir.url)}
    counts = {f"{name} requests": sent.get(str(port), 0) for name, port in ports.items()}
    whole = {"ticks": told["ticks"], **counts, "CPU": told["cpu"]}
    return Measured({name: value * HOUR / seconds for name, value in whole.items()})
