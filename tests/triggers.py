"""The app's triggers: azure-functions indexes them once in a process, and not again."""

from functools import cache

import function_app


@cache
def functions():
    """As the host finds them."""
    return function_app.app.get_functions()
