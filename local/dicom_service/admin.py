"""For tests: leaves holes in the change feed's sequence numbers, and fills them late, as a busy database does."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.dicom_service import store, stow
from local.dicom_service.multipart import dicom_files
from local.dicom_service.parameters import Parameters, bad_request
from local.dicom_service.studies import store_response

MAX_HOLES = 1_000_000


def leave_hole(request: Request) -> Response:
    """`POST /admin/holes?count=n`: n sequence numbers will never be used. The answer has the last of them."""
    count = Parameters(request, "count").integer("count", default=1, least=1, most=MAX_HOLES)
    return JSONResponse({"sequence": store.leave_hole(request.app.state.database, count)})


def reserve(request: Request) -> Response:
    """`POST /admin/reserve`: reserves a sequence number, and the current time, for an instance that is stored later."""
    Parameters(request)
    return JSONResponse({"sequence": store.reserve(request.app.state.database)})


async def store_reserved(request: Request) -> Response:
    """`POST /admin/reserve/{sequence}/studies`: STOW-RS of one instance, which gets the reserved number and time."""
    sequence: int = request.path_params["sequence"]
    files = dicom_files(request.headers.get("content-type"), await request.body())
    if len(files) != 1:
        raise bad_request(f"one instance is needed, not {len(files)}")
    try:
        outcome = await run_in_threadpool(stow.store_reserved, request.app.state.database, sequence, files[0])
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    return store_response(outcome, f"{request.base_url}v2/studies")
