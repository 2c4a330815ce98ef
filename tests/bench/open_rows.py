"""`python -m tests.bench.open_rows [ROWS]`: what open rows cost a tick, on Azurite; 100,000 unless said otherwise.

A study each. They are put into the index alone, which is all that a tick asks: the error tables are written by their keys.
Azurite searches a whole partition for each row that it writes, so the rows are put into its file while it rests.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from azure.data.tables import TableServiceClient

from local.stack import PortNumbers, Stack, StackOptions
from shared.clients.azure.error_tables import ErrorTables
from shared.clients.azure.open_row_entity import OPEN, entity_of
from shared.clients.azure.open_rows import TABLE
from shared.clients.azure.tables import Tables, int64
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import ErrorTable, FailedEntry
from tests.bench.bars import Bar

STUDIES = 500
"""Of a batch."""
TICKS = 15
ROWS = 100_000
NAMES = ("none", "many")
"""The tables' prefixes."""
WHOLE = "all of it"
OF_AZURITE = "azurite/__azurite_db_table__.json"


def main() -> None:
    for line in lines(measured(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)):
        print(line)


@dataclass(frozen=True, slots=True)
class OpenRowCost:
    """Of `rows` open ones, milliseconds: each step of a tick without any, and with them. `read_ms`: a host reads them all."""

    rows: int
    read_ms: float
    steps: Mapping[str, tuple[float, float]]

    @property
    def ratio(self) -> float:
        none, many = self.steps[WHOLE]
        return many / none


def measured(count: int = ROWS) -> OpenRowCost:
    """Ticks with and without open rows in turn, on one Azurite; of each step the median."""
    with TemporaryDirectory() as directory:
        with _azurite(directory) as service:
            for name in NAMES:
                _host(service, name).begin()  # makes the tables, and the row that says that the index is made
            time.sleep(1)  # Azurite writes its file a moment later
        _put(Path(directory) / OF_AZURITE, count)
        with _azurite(directory) as service:
            hosts = [_host(service, name) for name in NAMES]
            _, read_ms = [_ms(host.begin) for host in hosts]
            ticks = [[_tick(host, number) for host in hosts] for number in range(TICKS)]
    steps = {step: [median(tick[which][step] for tick in ticks) for which in (0, 1)] for step in ticks[0][0]}
    return OpenRowCost(count, read_ms, {step: (none, many) for step, (none, many) in steps.items()})


def bars(cost: OpenRowCost) -> Iterator[Bar]:
    yield Bar(f"{cost.rows:,} open rows: a tick's requests for rows, to none", 1.25, cost.ratio, "x", is_most=True)


def lines(cost: OpenRowCost) -> Iterator[str]:
    """As Markdown."""
    yield f"| of a tick | no open rows, ms | {cost.rows:,} open rows, ms | ratio |"
    yield "| :--- | ---: | ---: | ---: |"
    for step, (none, many) in cost.steps.items():
        yield f"| {step} | {none:.1f} | {many:.1f} | {many / none:.2f} |"
    yield f"| once, where a host takes over: all are read | | {cost.read_ms:,.0f} | |"


def _tick(host: ErrorTables, number: int) -> dict[str, float]:
    """Milliseconds of what a tick asks of the rows: whether another host has worked, what is open of its studies; one fails, one is mended."""
    new = [(DEFAULT_PARTITION, f"1.2.9.{number}.{study}") for study in range(STUDIES)]
    failure = FailedEntry(ErrorTable.FHIR, 10**9 + number, new[0][1], "1.3", "1.4", "FhirRefusedError", "status 422")
    done = {
        "is another host at work": _ms(host.begin),
        f"{STUDIES} studies without rows": _ms(lambda: [host.open_rows([one], [1]) for one in new]),
        "one study fails": _ms(lambda: host.record([failure])),
        "it is mended": _ms(lambda: host.close(host.open_rows(new[:1], ()))),
    }
    return done | {WHOLE: sum(done.values())}


def _row(number: int) -> dict[str, object]:
    return {
        "PartitionKey": "FhirRefusedError",
        "RowKey": f"{number:020d}",
        "StudyUid": f"1.2.{number}",
        "SeriesUid": "1.3",
        "InstanceUid": f"1.4.{number}",
        "Partition": DEFAULT_PARTITION,
        "ChangeFeedSequence": int64(number),
    }


def _put(file: Path, count: int) -> None:
    """As many rows in the index as are wanted, as Azurite keeps them."""
    held = json.loads(file.read_text(encoding="utf-8"))
    (index,) = [one for one in held["collections"] if one["name"].endswith(f"${NAMES[1]}{TABLE}")]
    (head,) = index["data"]
    for number in range(1, count + 1):
        properties = entity_of(ErrorTable.FHIR, _row(number))
        sequence = {"ChangeFeedSequence": str(number), "ChangeFeedSequence@odata.type": "Edm.Int64"}
        keys = {"PartitionKey": OPEN, "RowKey": properties["RowKey"]}
        told = {name: head["properties"][name] for name in ("Timestamp", "Timestamp@odata.type")}
        index["data"].append(
            head | keys | {"properties": properties | sequence | told, "$loki": head["$loki"] + number}
        )
    index["maxId"] = head["$loki"] + count
    for one in index["binaryIndices"].values():
        one |= {"dirty": True, "values": []}
    file.write_text(json.dumps(held), encoding="utf-8")


def _host(service: TableServiceClient, prefix: str) -> ErrorTables:
    return ErrorTables(Tables(service, prefix, (*ErrorTable, TABLE)), lambda: datetime.now(UTC))


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


@contextmanager
def _azurite(directory: str) -> Iterator[TableServiceClient]:
    stack = Stack(StackOptions(PortNumbers.free(), Path(directory), state=Path(directory)))
    try:
        stack.start("azurite")
        with TableServiceClient.from_connection_string(stack.storage_connection) as service:
            yield service
    finally:
        stack.stop()


if __name__ == "__main__":
    main()
