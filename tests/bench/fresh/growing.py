"""A study that grows for minutes, by a clock that the benchmark sets: what it costs to write it again and again."""

import time
from itertools import islice

from tests.bench.fresh.live import one_study
from tests.bench.fresh.parts import Parts, meter
from tests.bench.fresh.row import Measured
from tests.bench.fresh.tree import Tree
from tests.bench.workloads import instances, large_study

BATCHES, LENGTH = 200, 200
EVERY_SECONDS = 2
MOST_TICKS_MORE = 60


def growing(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Bytes to FHIR, and seconds of the clock from the last arrival until all of it is in FHIR; a tick after each batch."""
    batches = 5 if is_quick else BATCHES
    work = large_study(batches * LENGTH, batches)
    arriving = instances(work)
    began = time.time() - (batches + 2 * MOST_TICKS_MORE) * EVERY_SECONDS  # no entry is of the future
    with parts.archive(None) as archive, parts.fhir() as fhir, parts.host(tree, archive, fhir) as host:
        host.begin("clock", clock=began)
        for number in range(batches):
            arrived = began + number * EVERY_SECONDS
            archive.add(islice(arriving, LENGTH), at=arrived)
            host.tick(arrived + EVERY_SECONDS / 2)
        for more in range(MOST_TICKS_MORE):
            now = arrived + EVERY_SECONDS / 2 + more * EVERY_SECONDS
            if more:
                host.tick(now)
            if one_study(fhir).get("numberOfInstances") == work.entries:
                break
        else:
            raise RuntimeError("the last instances did not come to FHIR")
        told = meter(fhir)
    return Measured({"MB to FHIR": told["bytes_in"] / 1e6, "the last instance": now - arrived})
