"""Confines an unforeseen exception to the piece of work it came from: it becomes a named error, and a line in the log.

The one place that catches broadly: around an entry that is mapped, a study that is merged and sent, a replay, a tick.
"""

import logging
import traceback
from types import TracebackType

from shared.errors import DicomCastError, UnforeseenError
from shared.process.log_lines import Dimension, log_line

logger = logging.getLogger(__name__)


class Bulkhead:
    """Around a block, raises `kind` in place of an exception that the app does not raise itself.

    A MemoryError passes, as it is the host's fault and not the study's.
    """

    def __init__(self, kind: type[UnforeseenError] = UnforeseenError) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, DicomCastError | MemoryError):
            # Without the exceptions' texts, which may have a patient's values in them.
            frames = [f"{one.filename}:{one.lineno} in {one.name}" for one in traceback.extract_tb(error.__traceback__)]
            raise self._kind(type(error).__name__, frames) from None


def log_unforeseen(error: UnforeseenError, **where: Dimension) -> None:
    """Logs the error with its traceback; `where` are sequence and UIDs."""
    log_line(logger, logging.ERROR, "\n  ".join([str(error), *error.frames]), **where)
