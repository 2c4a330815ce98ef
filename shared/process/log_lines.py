"""Log lines for people and for queries: a text, followed by its dimensions as compact JSON.

The Functions host sends only the text of a line to Application Insights, where a query parses the JSON in `message`.
If OpenTelemetry is on, the dimensions are the line's `customDimensions` too.
"""

import json
import logging

Dimension = str | int | float | None
CHATTY = ("azure", "msal")
"""At INFO azure-core logs each request and answer with all headers: 7 kB in a tick that has nothing to do."""


def quiet_libraries() -> None:
    """Sets these loggers to WARNING: the language worker sets the root logger to INFO, whatever host.json says."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_line(logger: logging.Logger, level: int, text: str, **dimensions: Dimension) -> None:
    """Logs one line. The dimensions' names are in PascalCase, so that none is an attribute of LogRecord."""
    as_json = json.dumps(dimensions, separators=(",", ":"), ensure_ascii=False)
    logger.log(level, "%s %s", text, as_json, extra=dimensions)
