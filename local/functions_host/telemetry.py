"""Sets OpenTelemetry up as the Python language worker does, before the app is indexed."""

import os

from shared.settings.readers import worker_switch

SWITCH = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"


def start_telemetry() -> None:
    """Sets it up if the worker's own switch is on (azure-functions-runtime, otel.py)."""
    if not worker_switch(os.environ.get(SWITCH, "")):
        return
    from azure.monitor.opentelemetry import configure_azure_monitor  # noqa: PLC0415 most hosts start without it

    os.environ.setdefault("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "azure_functions")
    logger_name = os.environ.get("PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME", "")
    configure_azure_monitor(
        connection_string=os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING"), logger_name=logger_name
    )
