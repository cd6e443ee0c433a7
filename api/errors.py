"""Errors become HTTP here, and nowhere else."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from catalog import errors

log = logging.getLogger(__name__)

_STATUS: Final[Mapping[type[errors.FootnoteError], int]] = {
    errors.RequestTooLarge: 413,
    errors.InvalidRequest: 400,
    errors.DocumentRejected: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.IndexIncompatible: 409,
    errors.QueueFull: 429,
    errors.RateLimitExceeded: 429,
    errors.ServiceUnavailable: 503,
    errors.FootnoteError: 500,
}
# Names of fields, expires_after[anchor] included; types that pydantic names after Python's are none.
_FIELD: Final = re.compile(r"(?!(?:str|int|float|bool)\Z)(?!list\[|dict\[|function-)[A-Za-z_]\w*(?:\[\w*\])?")
_TYPE: Final = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_body(message: str, *, status: int, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error object."""
    kind = _TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def status_of(error: errors.FootnoteError) -> int:
    """Return the HTTP status of the nearest class of `error` that has one."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def error_response(error: errors.FootnoteError) -> JSONResponse:
    status = status_of(error)
    # The SDKs retry 409 and 5xx by themselves: they are told whether that can help.
    headers = {"x-should-retry": str(error.retryable).lower()} if status >= 409 else {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1000))
    return JSONResponse(
        error_body(error.message, status=status, code=error.code, param=error.param), status, headers=headers
    )


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception with OpenAI's error object."""

    @app.exception_handler(errors.FootnoteError)
    def stated(_request: Request, error: errors.FootnoteError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(_validation_body(error), 400)

    @app.exception_handler(HTTPException)
    def routing(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, OSError):
            # FastAPI blames the body for whatever breaks while it is read; here it was the folder for temporary files.
            return error_response(errors.ServiceUnavailable(f"There is no place for the upload: {error.__cause__}"))
        message = f"{request.method} {request.url.path}: {error.detail}."
        return JSONResponse(error_body(message, status=error.status_code), error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        request_id = getattr(request.state, "request_id", "")
        log.error("Unexpected error in %s %s (%s)", request.method, request.url.path, request_id, exc_info=error)
        message = "The server had an unexpected error; its log holds the details under this request's x-request-id."
        return JSONResponse(
            error_body(message, status=500, code="server_error"), 500, headers={"x-request-id": request_id}
        )


def _validation_body(error: RequestValidationError) -> dict[str, Any]:
    # Of the branches of a union the one that got deepest is what the sender meant; a wrong value says more than what is
    # missing, perhaps because of it.
    first = max(error.errors(), key=lambda one: (len(one["loc"]), one["type"] != "missing"))
    param = _param(first["loc"])
    if first["loc"] == ("body",) and isinstance(first.get("input"), bytes):
        message = "The body is not read as JSON: send the header 'content-type: application/json'."
        return error_body(message, status=400, code="invalid_content_type")
    match first["type"]:
        case "extra_forbidden":
            return error_body(f"Unknown parameter: {param!r}.", status=400, code="unknown_parameter", param=param)
        case "missing":
            return error_body(f"Missing required parameter: {param!r}.", status=400, code="missing", param=param)
        case "json_invalid":
            reason = first.get("ctx", {}).get("error", "")
            return error_body(f"The body is not valid JSON: {reason}.", status=400, code="invalid_json")
    found = repr(first.get("input"))
    shown = found if len(found) <= 200 else found[:200] + "…"
    message = f"Invalid value for {param!r}: {shown}. {first['msg']}."
    return error_body(message, status=400, code=first["type"], param=param)


def _param(loc: Sequence[int | str]) -> str | None:
    """Return the dotted path of a value; a number is a position in a list.

    The first part of `loc` says "body" or "query"; the name of a union's branch (`list[str]`, `constrained-str`) is
    pydantic's and no field.
    """
    fields = (str(part) for part in loc[1:])
    return ".".join(part for part in fields if part.isdigit() or _FIELD.fullmatch(part)) or None
