"""What the steps of a run share: the DICOM service, the FHIR server, and the app that syncs one to the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from local.acceptance.archive import Archive
from local.acceptance.expected import Expected
from local.acceptance.host import Host
from local.acceptance.ledger import Ledger
from local.acceptance.server import FhirServer
from local.acceptance.sizes import Sizes
from local.acceptance.traffic import Traffic


@dataclass(slots=True)
class Scene:
    """The parts of a run. `host`: the app that syncs; `restart` replaces it. `settings`: the app's settings."""

    settings: Mapping[str, str]
    archive: Archive
    server: FhirServer
    ledger: Ledger
    traffic: Traffic
    sizes: Sizes
    host: Host = field(init=False)
    expected: Expected = field(init=False)

    def __post_init__(self) -> None:
        self.restart()
        self.expected = Expected(self.settings["AzureWebJobsStorage"], self.archive, self.server, self.ledger)

    def restart(self) -> None:
        """Replaces the host with a new one, which has nothing cached and must read a resource before it writes it."""
        self.host = self.new_host()

    def new_host(self) -> Host:
        """Another host with the same settings, as in one deployment."""
        return Host(self.settings, self.traffic)

    def sync(self) -> None:
        """Has the app sync all that was done in DICOM. Raises NotSyncedError."""
        self.host.catch_up()
