"""Run by test_package.py inside the unpacked package, where nothing but requirements.txt is installed.

Indexes the app as the language worker does, fires the timer, asks for the status, and prints what came of it.
"""

import importlib.util
import json
import sys

import azure.functions as func
from azure.functions.timer import TimerRequest

from function_app import app

functions = {one.get_function_name(): one for one in app.get_functions()}
functions["sync"].get_user_function()(TimerRequest(past_due=False))
request = func.HttpRequest("GET", "/api/status", params={}, body=b"")
answer = functions["status"].get_user_function()(request)

told = {
    "functions": sorted(functions),
    "status": json.loads(answer.get_body()),
    "others": [name for name in ("local", "tests", "pytest", "uvicorn", "starlette") if importlib.util.find_spec(name)],
}
sys.stdout.write(json.dumps(told))
