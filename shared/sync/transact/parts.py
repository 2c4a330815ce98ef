"""Parts of a bundle that the server may not take whole: in the order of references, each small enough."""

from collections.abc import Sequence

from shared.errors import FhirRefusedError, TransientError
from shared.mapping.transaction import Delete, Write
from shared.sync.ports import FhirServer
from shared.sync.transact.transact import Size

MAX_PARTS = 100
"""In one go: others wait for the lane, and the tick has to end. What is left is merged again, and found."""


class Parts:
    """Of one study's writes. What follows a part is merged anew, so that it names what the part has made.

    A crash between two parts heals by itself: the entry is synced only when its last part is, and is merged again.
    """

    def __init__(self, fhir: FhirServer) -> None:
        self._fhir = fhir
        self._most: int | None = None
        self._refused: Size | None = None
        self._last: list[Write] | None = None
        self._count = 0

    def first(self, writes: Sequence[Write]) -> list[Write]:
        """All, if not known to be too many; else Patient and ImagingStudy, and then as many Observations as fit.

        What goes, goes after the Observations that link to it: servers refuse to delete it before.
        """
        known = self._fhir.most_entries(conditional=Size.of(writes).conditional)
        most = min(known, self._most or known)
        part = list(writes)
        if len(writes) > most:
            others = [write for write in writes if write.resource["resourceType"] != "Observation"]
            observations = [write for write in writes if write.resource["resourceType"] == "Observation"]
            before: list[Write] = [write for write in others if not isinstance(write, Delete)]
            part = (before or observations or others)[:most]
        if part == self._last:
            raise TransientError("FHIR server: what a transaction wrote is not there when it is read again")
        if self._count == MAX_PARTS:
            raise TransientError(f"FHIR server: {MAX_PARTS} parts of the study are written, the rest has to wait")
        return part

    def taken(self, part: list[Write], *, is_last: bool) -> None:
        """Written; with the last part it is known that what was refused was too large."""
        self._last = part
        self._count += 1
        if is_last and self._refused is not None:
            self._fhir.too_many_entries(self._refused.writes, conditional=self._refused.conditional)

    def are_smaller(self, refused: Sequence[Write], error: FhirRefusedError) -> bool:
        """Whether it is to be tried in smaller parts: the refusal may be a limit, and there is what can be parted."""
        kinds = {write.resource["resourceType"] for write in refused}
        if not error.may_be_limit or "Observation" not in kinds or len(refused) == 1:
            return False
        self._refused = self._refused or Size.of(refused)
        self._most = len(refused) // 2
        return True
