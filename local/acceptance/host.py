"""Runs the app in this process, with the user's settings for the FHIR server, until it has caught up with the feed."""

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
_MAX_FAILED_TICKS = 4  # in a row


class NotSyncedError(BrokenError):
    """The app does not catch up with the feed, so the steps after this one cannot be judged."""


def settings_for(ledger: Ledger, file: Path | None, storage: str, dicom_url: str) -> dict[str, str]:
    """The app settings of a run: those in the user's file for the FHIR server, else the run's own. Raises HostError.

    `storage`: connection string of Azurite. `dicom_url`: of the DICOM service on this machine.
    """
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
    """One host of the app. Hosts with the same settings share lease, watermark and tables, as those of a deployment do.

    `ticks`: the records of its ticks.
    """

    def __init__(self, settings: Mapping[str, str], traffic: Traffic) -> None:
        self.app = bootstrap.build(read_settings(settings))
        self.ticks: list[TickRecord] = []
        traffic.watch(self.app)

    def catch_up(self) -> None:
        """Ticks until nothing is left to sync. Raises NotSyncedError after CATCH_UP_SECONDS or four failed ticks."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        failed = 0
        while True:
            record = self.tick()
            if is_caught_up(record):
                return
            failed = 0 if record.ended_well or record.outcome is Outcome.LEASE_HELD else failed + 1
            if failed == _MAX_FAILED_TICKS or time.monotonic() > deadline:
                raise NotSyncedError(f"the app does not catch up with the change feed: {_reason(record)}")
            time.sleep(0.2)

    def tick(self) -> TickRecord:
        """Runs one tick."""
        record = self.app.tick()
        self.ticks.append(record)
        return record

    def replay_all(self) -> tuple[int, int]:
        """Replays the whole feed. Returns how many entries it has, and how many of them failed.

        Raises BrokenError if that takes longer than CATCH_UP_SECONDS.
        """
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
    """Whether all entries were synced when the tick ended, and no study was settling."""
    if not record.ended_well or record.lag is None or record.result is None:
        return False
    return record.lag.entries == 0 and record.result.watermark == record.result.done


def _reason(record: TickRecord) -> str:
    why = record.error or (record.result and record.result.held_by) or f"tick {record.outcome}"
    return " ".join(str(why).split())
