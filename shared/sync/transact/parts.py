"""One study's writes in parts, if the server may not take them in one transaction."""

from collections.abc import Sequence

from shared.errors import ConflictError, FhirRefusedError, TransientError
from shared.mapping.transaction import Delete, Write
from shared.sync.ports import FhirServer
from shared.sync.transact.transact import Size

MAX_PARTS = 100
"""In one attempt: other studies wait for the worker, and the tick has to end. The next attempt writes the rest."""


class Parts:
    """The parts, one after the other. Before each the study is merged again, so that it links to what was written.

    A crash between two parts does no harm: the entry counts as synced only after the last part, and is merged again.
    """

    def __init__(self, fhir: FhirServer) -> None:
        self._fhir = fhir
        self._most: int | None = None
        self._refused: Size | None = None
        self._last: list[Write] | None = None
        self.written = 0
        """How many parts the server has taken."""

    def first(self, writes: Sequence[Write]) -> list[Write]:
        """All writes, unless they are known to be too many; else Patient and ImagingStudy, then Observations.

        Deletes come after the Observations that link to them, as servers refuse to delete what others link to. Raises
        TransientError if the last part has changed nothing, or if there are too many parts.
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
        if self.written == MAX_PARTS:
            raise TransientError(f"FHIR server: {MAX_PARTS} parts of the study are written, the rest has to wait")
        return part

    def taken(self, part: list[Write], *, is_last: bool) -> None:
        """The server took the part. If it is the last, the transaction that was refused before had too many entries."""
        self._last = part
        self.written += 1
        if is_last and self._refused is not None:
            self._fhir.too_many_entries(self._refused.writes, conditional=self._refused.conditional)

    def can_be_smaller(self, refused: Sequence[Write], error: ConflictError | FhirRefusedError) -> bool:
        """Whether to try smaller parts: the refusal may be a limit, and there are Observations to leave for later."""
        if not isinstance(error, FhirRefusedError) or not error.may_be_limit or len(refused) == 1:
            return False
        if all(write.resource["resourceType"] != "Observation" for write in refused):
            return False
        self._refused = self._refused or Size.of(refused)
        self._most = len(refused) // 2
        return True
