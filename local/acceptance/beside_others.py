"""Steps of the life cycle in which another system or another host writes to the FHIR server at the same time."""

import threading
import time
from collections.abc import Callable

from local.acceptance.files import NewStudy, small_study
from local.acceptance.host import CATCH_UP_SECONDS, Host, NotSyncedError, is_caught_up
from local.acceptance.other_writer import OtherWriter
from local.acceptance.promises import BrokenError
from local.acceptance.scene import Scene
from local.acceptance.server import FAULTS
from shared.errors import OutageError
from shared.model.outcome import Outcome

_WRITTEN = "identifier, note and extension"


class BesideOthers:
    """`stays` and `goes` are studies in FHIR. `goes` is deleted, and stored again."""

    def __init__(self, scene: Scene, stays: NewStudy, goes: NewStudy) -> None:
        self._scene = scene
        self._expected = scene.expected
        self._writer = OtherWriter(scene.server, scene.ledger)
        self._stays = stays
        self._goes = goes

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Each step's promise and function, as `Steps` of the life cycle."""
        return [
            ("what another system wrote before is kept", self._before),
            ("what another system writes between the app's read and its write is kept", self._between),
            ("what another system writes before a delete is kept", self._before_delete),
            ("two hosts at once do the work of one", self._two_hosts),
        ]

    def _before(self) -> str:
        reference = self._expected.reference(self._stays.uid)
        self._writer.write(reference)
        self._scene.archive.update(self._stays.uid, StudyDescription="Acceptance, once")
        self._scene.sync()
        self._writer.check(reference)
        return f"{_WRITTEN}, through an update of the study"

    def _between(self) -> str:
        reference = self._expected.reference(self._stays.uid)
        self._scene.archive.update(self._stays.uid, StudyDescription="Acceptance, twice")
        self._sync_while_other_writes(self._stays, reference)
        self._writer.check(reference)
        self._expected.as_in_dicom(self._stays.uid)
        return f"{_WRITTEN}, and the app's update as well"

    def _before_delete(self) -> str:
        """The study is deleted in DICOM, and another system writes to it in FHIR after the app has read it."""
        reference = self._expected.reference(self._goes.uid)
        self._scene.archive.delete(self._goes.uid)
        self._sync_while_other_writes(self._goes, reference)
        self._writer.check(reference)
        self._scene.archive.store(self._goes.files)
        self._scene.sync()
        self._writer.check(reference)
        self._expected.as_in_dicom(self._goes.uid)
        return "the resource stayed, and holds the study that was stored again"

    def _sync_while_other_writes(self, study: NewStudy, reference: str) -> None:
        """Has the app sync, and another system write to the study after the app has read it and before it writes."""
        self._scene.restart()
        faults: list[Exception] = []
        self._scene.traffic.act_after_read(f"urn:oid:{study.uid}", lambda: self._write(reference, faults))
        self._scene.sync()
        if faults:
            raise faults[0]
        if not self._scene.traffic.has_acted:
            raise BrokenError("the app did not read the study before it wrote, so nobody could come between")

    def _write(self, reference: str, faults: list[Exception]) -> None:
        """Writes in the app's own thread, which must go on if that fails: the error goes to `faults`."""
        try:
            self._writer.write(reference)
        except (BrokenError, *FAULTS, OutageError) as error:
            faults.append(error)

    def _two_hosts(self) -> str:
        """Two hosts of one deployment tick at the same time; the lease lets only one of them work."""
        studies = [small_study(self._scene.ledger) for _ in range(self._scene.sizes.studies_for_two_hosts)]
        hosts = [self._scene.new_host() for _ in range(2)]
        half = len(studies) // 2
        for some in (studies[:half], studies[half:]):
            self._scene.archive.store([file for study in some for file in study.files])
            threads = [threading.Thread(target=_tick_until_caught_up, args=(host,)) for host in hosts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        ticks = [record for host in hosts for record in host.ticks]
        if not is_caught_up(hosts[0].tick()):
            raise NotSyncedError("two hosts do not catch up with the change feed")
        for study in studies:
            self._expected.as_in_dicom(study.uid)
        waited = sum(record.outcome is Outcome.LEASE_HELD for record in ticks)
        return f"{len(studies)} studies in {len(ticks)} ticks, {waited} of which found the other at work"


def _tick_until_caught_up(host: Host) -> None:
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while not is_caught_up(host.tick()) and time.monotonic() < deadline:
        time.sleep(0.1)
