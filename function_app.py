"""The timer, and the HTTP triggers of shared/web/triggers.py."""

from shared.process.garbage_collector import collect_seldom

collect_seldom()  # before all imports, of which nothing is garbage

import logging  # noqa: E402

import azure.functions as func  # noqa: E402

from shared.process.log_lines import quiet_libraries  # noqa: E402

quiet_libraries()  # before the app's own imports: for more than a second telemetry that is on already would log itself

from shared import bootstrap  # noqa: E402
from shared.errors import SettingsError  # noqa: E402
from shared.web.triggers import api  # noqa: E402

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
