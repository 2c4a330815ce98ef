"""`python -m tests.bench.open_rows [ROWS]`: what open rows cost a tick, on Azurite; 100,000 unless said otherwise.

A study each. They are put into the index alone, which is all that a tick asks: the error tables are written by their keys.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from azure.data.tables import TableServiceClient

from local.stack import Ports, Stack, StackOptions
from shared.clients.error_tables import ErrorTables
from shared.clients.open_rows import TABLE
from shared.clients.tables import Tables, int64
from shared.failures import ErrorTable, FailedEntry
from shared.model import DEFAULT_PARTITION

STUDIES = 500
"""Of a batch."""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with _service() as service:
        empty, full = (Tables(service, prefix, (*ErrorTable, TABLE)) for prefix in ("none", "many"))
        _told("no open rows", _tick(_host(empty)))
        seeding = _host(full)
        _told(f"{count:,} rows put into the index", {"all": _timed(lambda: _seed(seeding, count))})
        host = _host(full)
        _told(f"{count:,} open rows, a host that takes over", {"begin": _timed(host.begin)})
        _told(f"{count:,} open rows, the next tick", _tick(host))


def _tick(host: ErrorTables) -> dict[str, float]:
    """What a tick asks of the rows: whether another host has worked, what is open of its studies; one fails, one is mended."""
    new = [(DEFAULT_PARTITION, f"1.2.9.{number}") for number in range(STUDIES)]
    failure = FailedEntry(ErrorTable.FHIR, 10**9, "1.2.9.1", "1.3", "1.4", "FhirRefusedError", "status 422")
    return {
        "begin": _timed(host.begin),
        f"{STUDIES} studies without rows": _timed(lambda: [host.open_rows([one], [1]) for one in new]),
        "one failure": _timed(lambda: host.record([failure])),
        "one mended": _timed(lambda: host.close(host.open_rows(new[1:2], ()))),
    }


def _seed(host: ErrorTables, count: int) -> None:
    host.begin()
    for start in range(0, count, 10_000):
        rows = [
            {
                "PartitionKey": "FhirRefusedError",
                "RowKey": f"{number:020d}",
                "StudyUid": f"1.2.{number}",
                "SeriesUid": "1.3",
                "InstanceUid": f"1.4.{number}",
                "Partition": DEFAULT_PARTITION,
                "ChangeFeedSequence": int64(number),
            }
            for number in range(start, min(start + 10_000, count))
        ]
        host._open.add(ErrorTable.FHIR, rows)


def _host(tables: Tables) -> ErrorTables:
    return ErrorTables(tables, lambda: datetime.now(UTC))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _told(what: str, seconds: dict[str, float]) -> None:
    print(f"{what}: " + ", ".join(f"{name} {1000 * value:,.0f} ms" for name, value in seconds.items()), flush=True)


@contextmanager
def _service() -> Iterator[TableServiceClient]:
    with TemporaryDirectory() as directory:
        stack = Stack(StackOptions(Ports.free(), Path(directory)))
        try:
            stack.start("azurite")
            with TableServiceClient.from_connection_string(stack.storage_connection) as service:
                yield service
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
