"""What no DICOM service offers: ways to bring about, on purpose, what a busy database does to the sequence numbers."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.dicom_service import store, stow
from local.dicom_service.multipart import dicom_files
from local.dicom_service.parameters import Parameters, bad_request
from local.dicom_service.studies import store_response

MAX_HOLES = 1_000_000


def burn(request: Request) -> Response:
    """`POST /admin/holes?count=n`: n sequence numbers are never used; answers the last of them."""
    count = Parameters(request, "count").integer("count", default=1, least=1, most=MAX_HOLES)
    return JSONResponse({"sequence": store.burn(request.app.state.database, count)})


def reserve(request: Request) -> Response:
    """`POST /admin/reserve`: takes a sequence number and the time for a write that will be seen later."""
    Parameters(request)
    return JSONResponse({"sequence": store.reserve(request.app.state.database)})


async def store_reserved(request: Request) -> Response:
    """`POST /admin/reserve/{sequence}/studies`: STOW-RS of one instance under a number that was reserved."""
    sequence: int = request.path_params["sequence"]
    files = dicom_files(request.headers.get("content-type"), await request.body())
    if len(files) != 1:
        raise bad_request(f"one instance is needed, not {len(files)}")
    try:
        outcome = await run_in_threadpool(stow.store_reserved, request.app.state.database, sequence, files[0])
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    return store_response(outcome, f"{request.base_url}v2/studies")
