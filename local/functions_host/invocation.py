"""Calls a function, and logs that as the Functions host does."""

import asyncio
import inspect
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

from local.functions_host.indexing import Function

logger = logging.getLogger("host")


@dataclass(frozen=True, slots=True)
class InvocationContext:
    """The context of one call, for functions that have the parameter `context`."""

    function_name: str
    function_directory: str
    invocation_id: str = field(default_factory=lambda: str(uuid4()))
    thread_local_storage: Any = field(default_factory=threading.local)
    trace_context: Any = field(default_factory=SimpleNamespace)
    retry_context: Any = field(default_factory=SimpleNamespace)


async def invoke(function: Function, value: object, reason: str, root: Path) -> Any:
    """Calls the function. Returns what it returns; what it raises is logged and raised again.

    `value`: of the trigger; `reason`: for the log; `root`: the app's folder.
    """
    context = InvocationContext(function.name, str(root))
    logger.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, context.invocation_id)
    started = time.monotonic()
    outcome = "Failed"
    try:
        arguments = function.arguments(value, context)
        if inspect.iscoroutinefunction(function.call):
            result = await function.call(**arguments)
        else:
            result = await run_in_threadpool(function.call, **arguments)
        outcome = "Succeeded"
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.exception("'Functions.%s' raised", function.name)
        raise
    finally:
        milliseconds = (time.monotonic() - started) * 1000
        values = (function.name, outcome, context.invocation_id, milliseconds)
        logger.info("Executed 'Functions.%s' (%s, Id=%s, Duration=%.0fms)", *values)
    return result
