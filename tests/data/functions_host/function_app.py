"""A small app that shows what the functions host does with each trigger."""

import json
import os
from pathlib import Path

import azure.functions as func

app = func.FunctionApp()


@app.route(route="echo/{name}/{number:int?}", methods=["GET", "POST"], auth_level=func.AuthLevel.FUNCTION)
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    said = {
        "method": req.method,
        "route": dict(req.route_params),
        "params": {name: value for name, value in req.params.items() if name != "code"},
        "body": req.get_body().decode(),
        "function": context.function_name,
        "setting": os.environ["GREETING"],
    }
    return func.HttpResponse(json.dumps(said), mimetype="application/json", status_code=201, headers={"x-own": "1"})


@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
async def open_to_all(req: func.HttpRequest) -> str:
    return "hello"


@app.route(route="broken", auth_level=func.AuthLevel.ANONYMOUS)
def broken(req: func.HttpRequest) -> str:
    raise ZeroDivisionError("on purpose")


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
def tick(timer: func.TimerRequest) -> None:
    with Path(os.environ["TICKS"]).open("a") as file:
        file.write(f"{timer.past_due}\n")
