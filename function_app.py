"""The timer, and the HTTP triggers of shared/api.py."""

import logging

import azure.functions as func

from shared import bootstrap
from shared.api import api
from shared.errors import SettingsError

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(api)
logger = logging.getLogger("dicom_cast")

try:
    bootstrap.app()
except SettingsError as error:
    # Told once at start; the functions stay indexed, and each call says it again.
    logger.error("%s", error)  # noqa: TRY400 the message is for an operator, a traceback is not


@app.timer_trigger(arg_name="timer", schedule="%SyncSchedule%", use_monitor=False)
def sync(timer: func.TimerRequest) -> None:
    """One batch of the change feed."""
    try:
        bootstrap.app().tick()
    except Exception:
        logger.exception("tick failed%s", " (past due)" if timer.past_due else "")
        raise
