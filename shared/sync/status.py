"""Where the sync stands, as JSON."""

from typing import Any

from shared.errors import DicomCastError, OutageError
from shared.model import TickRecord, Watermark
from shared.sync.ports import Ports


def status(ports: Ports) -> dict[str, Any]:
    """Watermark, the feed's latest entry, the lag between them, the last tick. A system that is down is named."""
    faults: list[str] = []
    watermark, last, latest = None, None, None
    try:
        watermark = ports.watermarks.read().watermark
        last = ports.ticks.read()
    except OutageError as error:
        faults.append(str(error))
    try:
        entry = ports.feed.latest()
        latest = Watermark(entry.sequence, entry.timestamp) if entry else Watermark()
    except DicomCastError as error:
        faults.append(str(error))
    lag = max(0, latest.sequence - watermark.sequence) if latest and watermark else None
    return {
        "watermark": _point(watermark) if watermark else None,
        "latest": _point(latest) if latest else None,
        "lag": {"entries": lag},
        "lastTick": _tick(last) if last else None,
        "totals": {_camel(name): count for name, count in (last.totals if last else {}).items()},
        "faults": faults,
    }


def _point(watermark: Watermark) -> dict[str, Any]:
    return {"sequence": watermark.sequence, "timestamp": watermark.timestamp}


def _tick(record: TickRecord) -> dict[str, Any]:
    counts = {}
    if record.result:
        names = (
            "entries",
            "studies",
            "written",
            "unchanged",
            "failed",
            "invalid_tags",
            "carried",
            "fhir_calls",
            "held_by",
        )
        counts = {_camel(name): getattr(record.result, name) for name in names}
    return {
        "started": record.started.isoformat(),
        "durationSeconds": round(record.duration_seconds, 3),
        "outcome": record.outcome,
        "error": record.error,
        **counts,
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
