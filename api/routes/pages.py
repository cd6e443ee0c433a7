"""Health, metrics, and the web page."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api import metrics
from api.auth import ServicesOf, check_operator
from catalog.errors import NotFound

router = APIRouter(include_in_schema=False)

_WEB: Final = Path(str(files("api"))) / "web"
# Fixed when the process starts: a name from a request is looked up here and never joined to a path.
_ASSETS: Final = {path.name: path for path in _WEB.iterdir() if path.suffix in {".css", ".js", ".svg"}}
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Asked again each time (by ETag): a new version of the server never runs with an old script.
    "cache-control": "no-cache",
}


@router.get("/")
def index() -> FileResponse:
    return FileResponse(_WEB / "index.html", headers=_HEADERS)


@router.get("/assets/{name}")
def asset(name: str) -> FileResponse:
    if name not in _ASSETS:
        raise NotFound(f"There is no asset {name!r}.")
    return FileResponse(_ASSETS[name], headers=_HEADERS)


@router.get("/healthz")
def health() -> dict[str, str]:
    """The process runs."""
    return {"status": "ok"}


@router.get("/readyz")
def readiness(request: Request, services: ServicesOf) -> JSONResponse:
    """The process can answer: the catalog answers, and the index has caught up with it."""
    version = services.replica.catch_up()
    body: dict[str, Any] = {
        "status": "ok",
        "version": request.app.version,
        "index_version": version,
        "chunks": services.replica.index.count(),
        "embedding_model": services.embedder.identity.key,
    }
    return JSONResponse(body)


@router.get("/metrics")
def counts(request: Request, services: ServicesOf) -> Response:
    """What the operator watches, for Prometheus."""
    check_operator(services, request.headers)
    return Response(metrics.exposition(services.catalog.database), media_type=CONTENT_TYPE_LATEST)
