"""Waits when a host starts, or takes over from another, if the FHIR server's searches lag behind its writes."""

from collections.abc import Callable


class Handover:
    """Searches may not find yet what another host wrote last, and it would be created twice.

    What this host itself wrote it remembers, so it does not wait for that.
    """

    def __init__(self, delay_seconds: float = 0.0) -> None:
        self._delay_seconds = delay_seconds
        self._is_ours = False

    def begin(self, sleep: Callable[[float], None]) -> None:
        """To be called once the lease is held: waits unless this host was the last to work."""
        if not self._is_ours and self._delay_seconds:
            sleep(self._delay_seconds)
        self._is_ours = True

    def lost(self) -> None:
        """To be called if another host works, or may have worked."""
        self._is_ours = False
