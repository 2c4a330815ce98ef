"""The app as the run has it: built from the user's settings for their FHIR server, ticked until it has caught up."""

import time
from collections.abc import Mapping
from pathlib import Path

from local.acceptance.ledger import Ledger
from local.acceptance.promises import BrokenError
from local.acceptance.traffic import Traffic
from local.fhir_settings import fhir_settings_in
from shared import bootstrap
from shared.model.outcome import Outcome, TickRecord
from shared.model.replay import ReplayRequest, SequenceRange
from shared.settings.config import read_settings

CATCH_UP_SECONDS = 120
_HOPELESS = 4  # ticks that fail one after the other


class NotSyncedError(BrokenError):
    """The app does not catch up with the feed: what comes after cannot be judged."""


def settings_for(ledger: Ledger, file: Path | None, storage: str, dicom_url: str) -> dict[str, str]:
    """The app settings of a run: the user's for the FHIR server, all else the run's own. Raises HostError."""
    return fhir_settings_in(file) | {
        "AzureWebJobsStorage": storage,
        "DicomWeb__Endpoint": ledger.service_url,
        "DicomWeb__PrivateEndpoint": dicom_url,
        "Fhir__Endpoint": ledger.fhir_url,
        "Patient__PatientSystemId": ledger.system,
        "DicomCast__Features__GenerateObservations": "true",
        "DicomCast__GapGracePeriod": "00:00:01",
        "DicomCast__StudySettle": "1",
        "DicomCast__LeaseDuration": "00:00:15",
        "DicomCast__TickTimeBudget": "00:01:00",
        "RetryConfiguration__TotalRetryDuration": "00:01:00",
    }


class Host:
    """One host. Hosts of the same settings share lease, watermark and tables, as two of one deployment do."""

    def __init__(self, settings: Mapping[str, str], traffic: Traffic) -> None:
        self.app = bootstrap.build(read_settings(settings))
        self.ticks: list[TickRecord] = []
        traffic.watch(self.app)

    def catch_up(self) -> None:
        """Ticks until nothing is left to sync. Raises NotSyncedError."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        failed = 0
        while True:
            record = self.tick()
            if is_caught_up(record):
                return
            failed = 0 if record.ended_well or record.outcome is Outcome.LEASE_HELD else failed + 1
            if failed == _HOPELESS or time.monotonic() > deadline:
                raise NotSyncedError(f"the app does not catch up with the change feed: {_told(record)}")
            time.sleep(0.2)

    def tick(self) -> TickRecord:
        """One tick."""
        record = self.app.tick()
        self.ticks.append(record)
        return record

    def replay_all(self) -> tuple[int, int]:
        """Runs the whole feed again; how many entries, and how many of them failed. Raises BrokenError."""
        latest = self.app.ports.feed.latest()
        assert latest
        replay = self.app.start_replay(ReplayRequest(SequenceRange(1, latest.sequence)))
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while replay.is_under_way:
            if time.monotonic() > deadline:
                done = f"{replay.progress.done} of {latest.sequence} entries"
                raise BrokenError(
                    f"the replay does not end in {CATCH_UP_SECONDS} s: {done}, {replay.waiting_for or ''}"
                )
            self.tick()
            replay = self.app.replay(replay.id) or replay
        return replay.progress.done, replay.progress.failed


def is_caught_up(record: TickRecord) -> bool:
    """Whether nothing was left to sync when the tick ended, nor waits for its study to settle."""
    if not record.ended_well or record.lag is None or record.result is None:
        return False
    return record.lag.entries == 0 and record.result.watermark == record.result.done


def _told(record: TickRecord) -> str:
    why = record.error or (record.result and record.result.held_by) or f"tick {record.outcome}"
    return " ".join(str(why).split())
