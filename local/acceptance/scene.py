"""What the steps of a run share: both services, the app between them, and what was seen of it."""

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
    """`host` is the app that follows the feed; another one takes its place by `restart`."""

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
        """A new host remembers nothing: what it is to write to, it must read first."""
        self.host = self.new_host()

    def new_host(self) -> Host:
        """One of the same deployment."""
        return Host(self.settings, self.traffic)

    def synced(self) -> None:
        """The app follows what was done in DICOM. Raises NotSyncedError."""
        self.host.catch_up()
