"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from api.errors import add_error_handlers
from api.middleware import BodyLimit, RequestId
from api.routes import chat, file_batches, files, models, pages, responses, vector_store_files, vector_stores
from api.settings import Settings
from api.wiring import Services, open_services


def create_app(settings: Settings, *, services: Services | None = None) -> FastAPI:
    """Return the application. Without `services` it opens its own when it starts and closes them when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            app.state.services = services or await run_in_threadpool(stack.enter_context, open_services(settings))
            yield

    app = FastAPIOffline(
        title="Footnote",
        version=version("footnote"),
        summary="Answers from your own documents, with a checked footnote under every claim.",
        lifespan=lifespan,
        redoc_url=None,
    )
    for module in (files, vector_stores, vector_store_files, file_batches, responses, chat, models, pages):
        app.include_router(module.router)
    add_error_handlers(app)
    app.add_middleware(BodyLimit, max_file_bytes=settings.max_file_bytes, max_json_bytes=settings.max_json_bytes)
    app.add_middleware(RequestId)
    return app
