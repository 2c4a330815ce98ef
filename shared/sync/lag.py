"""How far the sync is behind the feed."""

from datetime import datetime

from shared.model import ChangeFeedEntry, Watermark
from shared.outcome import Lag
from shared.sync.ports import Feed


def lag_behind(feed: Feed, latest: ChangeFeedEntry | None, watermark: Watermark, now: datetime) -> Lag:
    """The lag of a watermark. Raises FeedError, OutageError."""
    entries = max(0, latest.sequence - watermark.sequence) if latest else 0
    oldest = feed.first_after(watermark) if entries else None
    if oldest is None or not oldest.timestamp:
        return Lag(entries, 0.0)
    return Lag(entries, max(0.0, (now - datetime.fromisoformat(oldest.timestamp)).total_seconds()))
