"""A host that starts, or takes over from another, on a FHIR server whose searches lag behind its writes."""

from collections.abc import Callable


class Handover:
    """What another host wrote last may be found by no search yet, and would be made twice: it is waited for.

    What this host wrote itself it remembers, and need not wait for.
    """

    def __init__(self, delay_seconds: float = 0.0) -> None:
        self._delay_seconds = delay_seconds
        self._is_ours = False

    def begin(self, sleep: Callable[[float], None]) -> None:
        """The lease is held: waits unless this host was the last to work."""
        if not self._is_ours and self._delay_seconds:
            sleep(self._delay_seconds)
        self._is_ours = True

    def lost(self) -> None:
        """Another host works, or may have worked."""
        self._is_ours = False
