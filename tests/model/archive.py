"""The local DICOM service in process, on a clock of the model's own, so that a run can be run again."""

from datetime import UTC, datetime, timedelta

import requests
from pydicom import Dataset

from local.dicom_service import create_app, timestamps
from local.dicom_service.database import Database
from tests.integration.dicom_service_client import MULTIPART, multipart
from tests.model.in_process import URL, InProcess
from tests.model.vocabulary import INSTANCES, KEYWORDS, SERIES, STUDIES, changed, dicom_file

RESERVED_FOR = timedelta(seconds=5)
"""Less than the app waits for a hole to fill."""

_app = create_app(None)
_MILLISECOND = timestamps.TICKS_PER_SECOND // 1000


class Clock:
    """Time that passes by sleeping, a little with each look, so that no loop that waits for it is endless."""

    def __init__(self):
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self):
        self.at += timedelta(milliseconds=5)
        return self.at

    def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


class Archive:
    """`held`: what the service has now, by place: what is said of its patient and study, and of its series."""

    def __init__(self, clock):
        _app.state.database = self.database = Database(None)
        self.clock = clock
        self.session = requests.Session()
        self.session.mount(URL, InProcess(_app, lambda: clock.at))
        self.held = {}
        self.log = []
        self._last = 0
        self.reserved, self._reserved_until = None, clock.at

    def close(self):
        self.database.close()

    def mount(self, service):
        """Lets an HttpService of the app speak to this archive."""
        service._session.mount(URL, InProcess(_app, lambda: self.clock.at))
        return service

    def store(self, place, said, of_series):
        within = place.path.split("/studies")[0]
        self._send("POST", f"/v2{within}/studies", multipart(dicom_file(place, said, of_series)))
        self.held[place] = said, of_series
        self._stamp(f"store {place} {said} {of_series}")

    def delete(self, *places):
        """Together where they are a whole study or series; else one by one."""
        for path in _paths(places, self.held):
            self._send("DELETE", f"/v2{path}")
        for place in places:
            del self.held[place]
        self._stamp(f"delete {' '.join(map(str, places))}")

    def update(self, study, partition, tags):
        """A bulk update of tags; values are never emptied."""
        self._bulk_update(study, partition, {KEYWORDS[name]: value for name, value in tags.items()})
        for place in self.of_study(study, partition):
            said, of_series = self.held[place]
            self.held[place] = changed(said, tags), of_series
        self._stamp(f"update {study} {partition}: {tags}")

    def renumber(self, places, to):
        """A bulk update of UIDs: a whole study, or one series of it, moves to the study and series of `to`."""
        (study, series, partition) = places[0].study, places[0].series, places[0].partition
        if to.study != study:
            self._bulk_update(study, partition, {"StudyInstanceUID": STUDIES[to.study]})
            moved = {place: place._replace(study=to.study) for place in places}
        else:
            self._bulk_update(study, partition, {"SeriesInstanceUID": SERIES[to.series]}, SERIES[series])
            moved = {place: place._replace(series=to.series) for place in places}
        for place, new in moved.items():
            self.held[new] = self.held.pop(place)
        self._stamp(f"renumber {' '.join(map(str, places))} to {to.study}/{to.series}")

    def rename(self, place, to):
        """A bulk update of one SOPInstanceUID."""
        uids = {"SOPInstanceUID": INSTANCES[to.instance]}
        self._bulk_update(place.study, place.partition, uids, *place.uids[1:])
        self.held[to] = self.held.pop(place)
        self._stamp(f"rename {place} to {to.instance}")

    def of_study(self, study, partition):
        return [place for place in self.held if (place.study, place.partition) == (study, partition)]

    def reserve(self):
        """A sequence number for a write that will be seen later."""
        if not self.is_reserved():
            self.reserved = self._send("POST", "/admin/reserve").json()["sequence"]
            self._reserved_until = self.clock.at + RESERVED_FOR
            self.log.append(f"reserve {self.reserved}")

    def is_reserved(self):
        """Whether the write may still come: after a while it has been rolled back, and leaves a hole for ever."""
        return self.reserved is not None and self.clock.at < self._reserved_until

    def store_reserved(self, place, said, of_series):
        """Under the number that was reserved, in its time."""
        path = f"/admin/reserve/{self.reserved}/studies"
        self._send("POST", path, multipart(dicom_file(place, said, of_series)))
        self.held[place] = said, of_series
        self._stamp(f"store as {self.reserved}: {place} {said} {of_series}", first=self.reserved)
        self.reserved = None

    def swap_times(self, first, second):
        """Lets two entries change places in API v2's order."""
        rows = self.database.rows("SELECT sequence, timestamp FROM change WHERE sequence IN (?, ?)", (first, second))
        times = {row["sequence"]: row["timestamp"] for row in rows}
        with self.database.transaction() as connection:
            for one, other in ((first, second), (second, first)):
                connection.execute("UPDATE change SET timestamp = ? WHERE sequence = ?", (times[other], one))
        self.log.append(f"the timestamps of {first} and {second} are the other's")

    def changes(self):
        """The feed's rows by sequence, as tuples: sequence, timestamp, action, place as UIDs."""
        rows = self.database.rows("SELECT * FROM change ORDER BY sequence")
        return [(row["sequence"], row["timestamp"], row["action"], tuple(row)[3:7]) for row in rows]

    def _bulk_update(self, study, partition, elements, series=None, instance=None):
        dataset = Dataset()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        within = "" if partition == "Microsoft.Default" else f"/partitions/{partition}"
        specification = {"studyInstanceUids": [STUDIES[study]], "changeDataset": dataset.to_json_dict()}
        if series:
            specification["seriesInstanceUid"] = series
        if instance:
            specification["sopInstanceUid"] = instance
        answer = self.session.post(f"{URL}/v2{within}/studies/$bulkUpdate", json=specification)
        assert answer.status_code == 202, answer.text
        state = self.session.get(answer.json()["href"]).json()
        assert state["status"] == "succeeded", state

    def _send(self, method, path, body=None):
        headers = {"Content-Type": MULTIPART} if body else {}
        answer = self.session.request(method, f"{URL}{path}", data=body, headers=headers)
        assert answer.status_code in (200, 204), (method, path, answer.status_code, answer.text)
        return answer

    def _stamp(self, told, first=None):
        """New entries get the model's time: creates one after another, what one operation did at one moment."""
        at = timestamps.parse_iso(self.clock.at.isoformat())
        rows = self.database.rows("SELECT sequence, action FROM change WHERE sequence > ?", (self._last,))
        sequences = [row["sequence"] for row in rows]
        with self.database.transaction() as connection:
            for row in rows:
                at += _MILLISECOND if row["action"] == "create" else 0
                connection.execute("UPDATE change SET timestamp = ? WHERE sequence = ?", (at, row["sequence"]))
            if first is not None:
                before = connection.execute(
                    "SELECT max(timestamp) FROM change WHERE sequence < ?", (first,)
                ).fetchone()[0]
                connection.execute("UPDATE change SET timestamp = ? WHERE sequence = ?", ((before or at) + 1, first))
        self.clock.sleep(0.01)
        self._last = max([self._last, *sequences])
        self.log.append(f"{told}  [{', '.join(map(str, sequences or [first]))}]")


def _paths(places, held):
    """The fewest paths that name exactly these instances."""
    wanted = set(places)
    for depth in (2, 4):
        cut = {
            place: "/".join(place.path.split("/")[: place.path.split("/").index("studies") + depth]) for place in held
        }
        tops = {cut[place] for place in wanted}
        if len(tops) == 1 and {place for place in held if cut[place] in tops} == wanted:
            return list(tops)
    return [place.path for place in places]
