"""The studies service: STOW-RS, WADO-RS metadata, QIDO-RS (PS3.18 chapter 10), and Azure's DELETE.

Each works on the partition in the path (partitions.py).
"""

import logging

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.dicom_service import partitions, search, store, stow
from local.dicom_service.instance import is_uid
from local.dicom_service.multipart import dicom_files
from local.dicom_service.parameters import Parameters, bad_request
from local.dicom_service.store import BY_ARRIVAL, ResourcePath

DICOM_JSON = "application/dicom+json"

log = logging.getLogger(__name__)


async def store_instances(request: Request) -> Response:
    """STOW-RS: 200 if all were stored, 202 if some were refused, 409 if none was stored, 204 if none was sent."""
    study = request.path_params.get("study")
    if study is not None and not is_uid(study):
        raise bad_request("the study in the URL is not a UID")
    files = dicom_files(request.headers.get("content-type"), await request.body())
    if not files:
        return Response(status_code=204)
    partition = await run_in_threadpool(partitions.created, request)
    outcome = await run_in_threadpool(stow.store, request.app.state.database, partition, files, study)
    return store_response(outcome, f"{request.base_url}{request.scope['root_path'].strip('/')}/studies")


def store_response(outcome: stow.Outcome, studies_url: str) -> Response:
    """The response to a store request, which is logged. `studies_url`: the beginning of each RetrieveURL."""
    log.info("stored %d, refused %d %s", len(outcome.stored), len(outcome.refused), outcome.reasons())
    return JSONResponse(outcome.dicom_json(studies_url), outcome.status, media_type=DICOM_JSON)


def retrieve_metadata(request: Request) -> Response:
    """WADO-RS: the metadata of a study's, series' or instance's instances, in the order of arrival; 404 if none exists.

    With Azure's header `msdicom-request-original: true`, the metadata is that from before any bulk update.
    """
    Parameters(request)
    condition, parameters = _path(request).condition()
    is_original = request.headers.get("msdicom-request-original", "").lower() == "true"
    metadata = "coalesce(original_metadata, metadata) AS metadata" if is_original else "metadata"
    sql = f"SELECT {metadata} FROM instance WHERE {condition} {BY_ARRIVAL}"  # noqa: S608 columns
    rows = request.app.state.database.rows(sql, parameters)
    if not rows:
        raise HTTPException(404, "no such study, series or instance")
    return Response(f"[{','.join(row['metadata'] for row in rows)}]", media_type=DICOM_JSON)


def search_studies(request: Request) -> Response:
    """QIDO-RS: matching studies; 204 if there are none."""
    names = ("StudyInstanceUID", "StudyDate", "AccessionNumber", "PatientID", "limit", "offset")
    query = Parameters(request, *names, several="includefield")
    found = search.studies(
        request.app.state.database,
        partition=partitions.existing(request),
        study=query.text("StudyInstanceUID"),
        accession=query.text("AccessionNumber"),
        patient_id=query.text("PatientID"),
        dates=query.dates("StudyDate"),
        included=query.several,
        limit=query.integer("limit", default=100, least=1, most=200),
        offset=query.integer("offset", default=0, least=0),
    )
    return JSONResponse(found, media_type=DICOM_JSON) if found else Response(status_code=204)


def search_series(request: Request) -> Response:
    """QIDO-RS: the series of one study; 204 if there are none."""
    query = Parameters(request, "includefield", "limit", "offset")
    found = search.series(
        request.app.state.database,
        partition=partitions.existing(request),
        study=request.path_params["study"],
        counted=query.text("includefield") in (search.INSTANCES_OF_SERIES, "NumberOfSeriesRelatedInstances"),
        limit=query.integer("limit", default=100, least=1, most=200),
        offset=query.integer("offset", default=0, least=0),
    )
    return JSONResponse(found, media_type=DICOM_JSON) if found else Response(status_code=204)


def search_instances(request: Request) -> Response:
    """QIDO-RS: the instances of one study or of one series; 204 if there are none."""
    query = Parameters(request, "limit", "offset")
    found = search.instances(
        request.app.state.database,
        partition=partitions.existing(request),
        study=request.path_params["study"],
        series=request.path_params.get("series"),
        limit=query.integer("limit", default=100, least=1, most=200),
        offset=query.integer("offset", default=0, least=0),
    )
    return JSONResponse(found, media_type=DICOM_JSON) if found else Response(status_code=204)


def delete(request: Request) -> Response:
    """Deletes a study, a series or an instance: 204, or 404 if it does not exist."""
    count = store.delete(request.app.state.database, _path(request))
    if not count:
        raise HTTPException(404, "no such study, series or instance")
    log.info("deleted %d", count)
    return Response(status_code=204)


def _path(request: Request) -> ResourcePath:
    return ResourcePath(**request.path_params | {"partition": partitions.existing(request)})
