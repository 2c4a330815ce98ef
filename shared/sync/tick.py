"""One tick of the timer: at most one host at a time works; what it did is kept for the status."""

import logging
from datetime import datetime

from shared.errors import DicomCastError, LeaseLostError, OutageError
from shared.model import BatchResult, Outcome, TickRecord
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.outages import OutageLog
from shared.sync.ports import Ports

logger = logging.getLogger(__name__)

TOTALS = ("entries", "studies", "written", "unchanged", "failed", "invalid_tags", "carried", "fhir_calls")


def tick(ports: Ports, options: BatchOptions, outages: OutageLog) -> TickRecord:
    """Runs one batch under the lease. Known errors end the tick and are told in its record; the watermark is right."""
    started = ports.now()
    try:
        if not ports.lease.acquire():
            logger.info("another host holds the lease: nothing to do")
            return TickRecord(started, 0.0, Outcome.LEASE_HELD, None, None, {})
        try:
            record = _work(ports, options, started, outages)
            ports.ticks.write(record)
        finally:
            ports.lease.release()
    except OutageError as error:  # of storage: the tick cannot even be recorded
        outages.down(error)
        return TickRecord(started, (ports.now() - started).total_seconds(), Outcome.FAILED, None, str(error), {})
    _log(record)
    return record


def _work(ports: Ports, options: BatchOptions, started: datetime, outages: OutageLog) -> TickRecord:
    result, error, outcome = None, None, Outcome.FAILED
    try:
        ports.fhir.check()
        result = run_batch(ports, options)
        outcome = result.outcome
        outages.up()
    except OutageError as outage:
        outages.down(outage)
        error = f"{type(outage).__name__}: {outage}"
    except LeaseLostError as lost:
        error, outcome = str(lost), Outcome.STOPPED
        logger.warning("the tick stopped: %s", lost)
    except DicomCastError as failure:
        error = f"{type(failure).__name__}: {failure}"
        logger.error("the tick failed: %s", error)  # noqa: TRY400 the message is for an operator, a traceback is not
    previous = ports.ticks.read()
    totals = {} if previous is None else dict(previous.totals)
    duration = (ports.now() - started).total_seconds()
    return TickRecord(started, duration, outcome, result, error, _added(totals, result))


def _added(totals: dict[str, int], result: BatchResult | None) -> dict[str, int]:
    counted = {name: totals.get(name, 0) + (getattr(result, name) if result else 0) for name in TOTALS}
    return {"ticks": totals.get("ticks", 0) + 1, **counted}


def _log(record: TickRecord) -> None:
    result = record.result
    seconds = round(record.duration_seconds, 3)
    dimensions: dict[str, object] = {"Outcome": record.outcome.value, "DurationSeconds": seconds}
    if result is not None:
        dimensions |= {"Watermark": result.watermark.sequence, "HeldBy": result.held_by}
        dimensions |= {_pascal(name): getattr(result, name) for name in TOTALS}
    logger.info("tick %s", record.outcome, extra={"custom_dimensions": dimensions})


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
