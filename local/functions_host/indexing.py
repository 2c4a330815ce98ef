"""Finds the app's functions as the language worker does: there is one FunctionApp in function_app.py."""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from local.functions_host.settings import HostError


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `trigger`: its binding as a dict; `call`: the Python function."""

    name: str
    trigger: dict[str, Any]
    call: Callable[..., Any]

    @property
    def is_http(self) -> bool:
        return bool(self.trigger["type"] == "httpTrigger")

    @property
    def is_timer(self) -> bool:
        return bool(self.trigger["type"] == "timerTrigger")

    def arguments(self, value: object, context: object) -> dict[str, object]:
        """Keyword arguments for `call`: the trigger's value, and the context if `call` has a parameter for it."""
        wants_context = "context" in inspect.signature(self.call).parameters
        return {self.trigger["name"]: value} | ({"context": context} if wants_context else {})


def index(root: Path) -> list[Function]:
    """Imports function_app.py of the app's folder. Returns its functions.

    Raises HostError if the file does not exist, does not have exactly one app, or has triggers other than HTTP and
    timers.
    """
    if not (root / "function_app.py").exists():
        raise HostError(f"{root} has no function_app.py")
    sys.path.insert(0, str(root))
    module = importlib.import_module("function_app")
    apps = {id(one): one for one in vars(module).values() if isinstance(one, func.FunctionRegister)}
    if len(apps) != 1:
        raise HostError(f"function_app.py: exactly one FunctionApp is expected, {len(apps)} are there")
    functions = [_function(one) for app in apps.values() for one in app.get_functions()]
    unknown = [one.name for one in functions if not (one.is_http or one.is_timer)]
    if unknown:
        raise HostError(f"{', '.join(unknown)}: this host knows HTTP and timer triggers only")
    return functions


def _function(indexed: Any) -> Function:
    return Function(indexed.get_function_name(), indexed.get_trigger().get_dict_repr(), indexed.get_user_function())
