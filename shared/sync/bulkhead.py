"""Confines an unforeseen exception to the piece of work it came from: it becomes a named error, and a line in the log.

The one place that catches broadly: around an entry that is mapped, a study that is merged and sent, a replay, a tick.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import DicomCastError, UnforeseenError
from shared.process.log_lines import Dimension, log_line

logger = logging.getLogger(__name__)


@contextmanager
def bulkhead(kind: type[UnforeseenError] = UnforeseenError) -> Iterator[None]:
    """Raises `kind` in place of an exception that the app does not raise itself.

    A MemoryError passes, as it is the host's fault and not the study's.
    """
    try:
        yield
    except (DicomCastError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 what nobody foresaw has no other name
        # Without the exceptions' texts, which may have a patient's values in them.
        frames = [f"{one.filename}:{one.lineno} in {one.name}" for one in traceback.extract_tb(error.__traceback__)]
        raise kind(type(error).__name__, frames) from None


def log_unforeseen(error: UnforeseenError, **where: Dimension) -> None:
    """Logs the error with its traceback; `where` are sequence and UIDs."""
    log_line(logger, logging.ERROR, "\n  ".join([str(error), *error.frames]), **where)
