"""The HTTP triggers: parse, call one function, format. openapi.yaml describes them."""

from http import HTTPStatus
from urllib.parse import urlsplit

import azure.functions as func

from shared import bootstrap
from shared.errors import DicomCastError
from shared.web import as_json, queries, responses

api = func.Blueprint()  # type: ignore[no-untyped-call]


@api.route(route="status", methods=["GET"])
@responses.with_problems
def status(req: func.HttpRequest) -> func.HttpResponse:
    """Where the sync stands."""
    metrics = queries.wants_metrics(req.params)
    found = bootstrap.app().status()
    if not metrics:
        return responses.json_response(as_json.status_json(found))
    from shared.web.metrics import metrics_text  # noqa: PLC0415 prometheus_client, for who scrapes

    return responses.text_response(metrics_text(found))


@api.route(route="history", methods=["GET"])
@responses.with_problems
def history(req: func.HttpRequest) -> func.HttpResponse:
    """Lag and throughput over time."""
    slots = bootstrap.app().history(queries.hours_of(req.params))
    return responses.json_response({"slots": [as_json.slot_json(slot) for slot in slots]})


@api.route(route="errors", methods=["GET"])
@responses.with_problems
def error_reasons(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 the host passes it
    """The open error rows by reason and study."""
    return responses.json_response(as_json.reasons_json(bootstrap.app().reasons()))


@api.route(route="errors/{table}", methods=["GET"])
@responses.with_problems
def errors(req: func.HttpRequest) -> func.HttpResponse:
    """A page of an error table; with the first one, how many rows there are."""
    asked = queries.page_of(req.route_params.get("table"), req.params)
    if asked is None:
        return responses.found(None)
    query, size, after = asked
    count = None if after else bootstrap.app().count_errors(query)
    return responses.json_response(as_json.error_page_json(bootstrap.app().errors(query, size, after), size, count))


@api.route(route="errors/{table}/{sequence}", methods=["DELETE"])
@responses.with_problems
def close_torn(req: func.HttpRequest) -> func.HttpResponse:
    """Closes the row of a torn entry that no study is known of."""
    asked = queries.row_of(req.route_params)
    return responses.found({"closed": True} if asked and bootstrap.app().close_torn(*asked) else None)


@api.route(route="replay", methods=["POST"])
@responses.with_problems
def start_replay(req: func.HttpRequest) -> func.HttpResponse:
    """Runs entries, a study or stored failures again."""
    from shared.web.replay_request import replay_of  # noqa: PLC0415 pydantic, for who asks for a replay

    app = bootstrap.app()
    replay = app.start_replay(replay_of(req.get_body(), app.latest_entry()))
    # A path alone: the host of the URL is what the caller wrote into its Host header.
    where = f"/{urlsplit(req.url).path.strip('/')}/{replay.id}"
    return responses.json_response(as_json.replay_json(replay), HTTPStatus.ACCEPTED, Location=where)


@api.route(route="replay", methods=["GET"])
@responses.with_problems
def replays(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 the host passes it
    """The latest replays."""
    return responses.json_response({"replays": [as_json.replay_json(replay) for replay in bootstrap.app().replays()]})


@api.route(route="replay/{id}", methods=["GET", "DELETE"])
@responses.with_problems
def replay(req: func.HttpRequest) -> func.HttpResponse:
    """One replay, or its end."""
    wanted = bootstrap.app().cancel_replay if req.method == "DELETE" else bootstrap.app().replay
    found = wanted(queries.id_of(req.route_params))
    return responses.found(found and as_json.replay_json(found))


@api.route(route="audit", methods=["GET"])
@responses.with_problems
def audit(req: func.HttpRequest) -> func.HttpResponse:
    """Where the audit stands, and what differs."""
    query = queries.differences_of(req.params)
    return responses.json_response(as_json.audit_json(bootstrap.app().audit(query), query.size))


@api.route(route="audit", methods=["POST"])
@responses.with_problems
def start_round(req: func.HttpRequest) -> func.HttpResponse:
    """Begins a round, or confirms the deletes of one that is stopped."""
    from shared.web.audit_request import round_of  # noqa: PLC0415 pydantic, for who asks for a round

    begun = bootstrap.app().start_round(round_of(req.get_body()))
    return responses.json_response(as_json.round_json(begun), HTTPStatus.ACCEPTED) if begun else responses.found(None)


@api.route(route="audit", methods=["DELETE"])
@responses.with_problems
def stop_round(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 the host passes it
    """Stops the round that is under way."""
    stopped = bootstrap.app().stop_round()
    return responses.found(stopped and as_json.round_json(stopped))


@api.route(route="study", methods=["POST"])
@responses.with_problems
def find_studies(req: func.HttpRequest) -> func.HttpResponse:
    """The studies with a StudyInstanceUID, accession number or PatientID."""
    return responses.json_response(as_json.found_json(bootstrap.app().find_studies(*queries.search_of(req.get_body()))))


@api.route(route="study/{uid}", methods=["GET"])
@responses.with_problems
def study(req: func.HttpRequest) -> func.HttpResponse:
    """One study in DICOM and in FHIR. It has patient data in it."""
    uid, partition, patients = queries.study_of(req.route_params, req.params)
    return responses.json_response(as_json.study_json(bootstrap.app().study(uid, partition, patients=patients)))


@api.route(route="check", methods=["GET"])
@responses.with_problems
def check(req: func.HttpRequest) -> func.HttpResponse:
    """The self-check of the deployment, or one step of it."""
    return responses.json_response(as_json.check_json(bootstrap.check(queries.step_of(req.params))))


@api.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 the host passes it
    """Whether a tick has ended well of late."""
    try:
        is_healthy = bootstrap.app().is_healthy()
    except DicomCastError:
        is_healthy = False
    status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return responses.text_response("healthy" if is_healthy else "unhealthy", status)


@api.route(route="dashboard/{file?}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def dashboard(req: func.HttpRequest) -> func.HttpResponse:
    """The page for the night shift."""
    file = req.route_params.get("file")
    if not file and urlsplit(req.url).path.endswith("/"):  # the page names its files as seen from without the slash
        return responses.moved("../dashboard")
    if file == responses.STUDY_PAGE and not _shows_studies():
        return responses.found(None)
    return responses.page(file)


def _shows_studies() -> bool:
    """Whether the page of one study is turned on."""
    try:
        return bootstrap.app().study_page is not None
    except DicomCastError:
        return False


@api.route(route="openapi.yaml", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def openapi(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 the host passes it
    """The description of this API."""
    return responses.openapi()
