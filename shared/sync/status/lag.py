"""How far the sync is behind the feed."""

from datetime import datetime

from shared.errors import FeedEndsEarlyError
from shared.model.change_feed import FeedEntry
from shared.model.outcome import Lag
from shared.model.watermark import Watermark
from shared.sync.ports import Feed


def lag_behind(feed: Feed, latest: FeedEntry | None, watermark: Watermark, now: datetime) -> Lag:
    """The lag of a watermark. Raises FeedEndsEarlyError if the feed does not reach it, FeedError, OutageError."""
    highest = latest.sequence if latest else 0
    if highest < watermark.sequence:
        raise FeedEndsEarlyError(highest, watermark.sequence)
    entries = highest - watermark.sequence
    oldest = (feed.first_after(watermark) if entries else None) or latest  # at least as old as the newest
    if not entries or oldest is None or not oldest.timestamp:
        return Lag(entries, 0.0)
    return Lag(entries, max(0.0, (now - datetime.fromisoformat(oldest.timestamp)).total_seconds()))
