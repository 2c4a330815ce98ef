"""A DICOM service that has nothing but a change feed, as the contract has it, and what may be wrong with it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_reader import FeedReader
from shared.clients.http_answer import Answer
from shared.errors import OutageError

NOW = datetime(2024, 5, 6, 7, 0, 0, tzinfo=UTC)
TRANSIENT = {500, 503, 429}


@dataclass
class FeedService:
    """`times`: seconds before now of each entry by its sequence. `bad`: those whose metadata is answered `status`.

    `told` rewrites the entries of an answer; `asked` are the requests: path and parameters.
    """

    times: dict[int, float] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)
    status: int = 500
    deleted: set[int] = field(default_factory=set)
    versions: tuple[str, ...] = ("v1", "v2")
    told: object = None
    asked: list = field(default_factory=list)
    url: str = "https://dicom.example.org"

    def fetch(self, path, *, params=None, headers=None):
        self.asked.append((path, dict(params)))
        assert len(self.asked) < 3000, "requests without end"
        _, version, *_ = path.split("/")
        status, body = self.answer(version, path, params) if version in self.versions else (404, None)
        if status in TRANSIENT:
            raise OutageError("DICOM service", f"{status} from {self.url}{path}", status=status)
        return Answer(
            status, {"Date": format_datetime(NOW, usegmt=True)}, b"" if body is None else json.dumps(body).encode()
        )

    def answer(self, version, path, params):
        with_metadata = params["includeMetadata"] == "true"
        if path.endswith("/latest"):
            newest = max(self.times, key=(lambda one: one) if version == "v1" else self.place, default=None)
            return (204, None) if newest is None else (200, self.entry(newest, with_metadata))
        offset, limit = int(params["offset"]), int(params["limit"])
        assert 1 <= limit <= (100 if version == "v1" else 200)
        if version == "v1":
            found = [one for one in sorted(self.times) if offset < one <= offset + limit]
        else:
            start, end = (params.get(name) for name in ("startTime", "endTime"))
            found = [one for one in sorted(self.times, key=self.place) if self.is_within(one, start, end)]
            found = found[offset : offset + limit]
        if with_metadata and self.bad.intersection(found):
            return self.status, None
        body = [self.entry(one, with_metadata) for one in found]
        return 200, self.told(path, params, body) if self.told else body

    def is_within(self, sequence, start, end):
        at = NOW - timedelta(seconds=self.times[sequence])
        return (not start or at >= datetime.fromisoformat(start)) and (not end or at < datetime.fromisoformat(end))

    def place(self, sequence):
        return -self.times[sequence], sequence

    def entry(self, sequence, with_metadata):
        uid = f"1.2.{sequence}"
        is_gone = sequence in self.deleted
        metadata = {"Metadata": {"0020000D": {"vr": "UI", "Value": [uid]}}} if with_metadata and not is_gone else {}
        return {
            "Sequence": sequence,
            "StudyInstanceUid": uid,
            "SeriesInstanceUid": f"{uid}.1",
            "SopInstanceUid": f"{uid}.1.1",
            "Action": "create",
            "State": "deleted" if is_gone else "current",
            "Timestamp": (NOW - timedelta(seconds=self.times[sequence])).isoformat(),
            **metadata,
        }

    def feed(self, *, pass_torn=False, grace=30):
        return ChangeFeed(FeedReader(self, lambda: frozenset({"0020000D"}), pass_torn=pass_torn), grace)


def steady(*sequences, oldest=10_000.0, step=1.0):
    """Entries a second apart, all of them old."""
    return {sequence: oldest - step * position for position, sequence in enumerate(sequences)}
