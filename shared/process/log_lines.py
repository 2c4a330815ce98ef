"""Log lines for a person and for a query: a text, and behind it what it speaks of as compact JSON.

The Functions host carries only a line's text to Application Insights, where a query parses the JSON out of `message`.
Where OpenTelemetry is on the same names are its `customDimensions` as well.
"""

import json
import logging

Dimension = str | int | float | None
CHATTY = ("azure", "msal")
"""At INFO azure-core logs each request and its answer with all headers: 7 kB in a tick that has nothing to do."""


def quiet_libraries() -> None:
    """The language worker sets the root logger to INFO, and host.json's logLevel cannot reach a Python logger."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_line(logger: logging.Logger, level: int, text: str, **dimensions: Dimension) -> None:
    """One line. Names are in PascalCase, which no attribute of a LogRecord is."""
    said = json.dumps(dimensions, separators=(",", ":"), ensure_ascii=False)
    logger.log(level, "%s %s", text, said, extra=dimensions)
