"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from api.access import Access
from api.auth import sees_whole_project
from api.background import BackgroundAnswers
from api.errors import add_error_handlers
from api.idempotency import Idempotency
from api.middleware import BodyLimit, RequestId
from api.openapi import ERROR_RESPONSES, describe
from api.routes import (
    chat,
    conversations,
    feedback,
    file_batches,
    files,
    models,
    pages,
    responses,
    tokens,
    uploads,
    vector_store_files,
    vector_stores,
)
from api.settings import Settings
from api.turns import Turns
from api.wiring import Services, open_services


def create_app(settings: Settings, *, services: Services | None = None) -> FastAPI:
    """Return the application. Without `services` it opens its own when it starts and closes them when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            app.state.services = services or await run_in_threadpool(stack.enter_context, open_services(settings))
            app.state.turns = Turns(settings.concurrent_answers)
            stack.enter_context(app.state.services.live.watched())
            app.state.background = stack.enter_context(BackgroundAnswers(app.state.services))
            yield

    app = FastAPIOffline(
        title="Footnote",
        version=version("footnote"),
        summary="Answers from your own documents, with a checked footnote under every claim.",
        lifespan=lifespan,
        redoc_url=None,
        responses=ERROR_RESPONSES,
    )
    app.include_router(uploads.router, dependencies=[Depends(sees_whole_project)])
    of_stores = (files, vector_stores, vector_store_files, file_batches)
    for module in (*of_stores, responses, feedback, conversations, chat, models, tokens, pages):
        app.include_router(module.router)
    # Whoever runs the server says when it stops: streams that can be resumed then end at once.
    app.state.is_stopping = lambda: False
    add_error_handlers(app)
    describe(app)
    app.add_middleware(BodyLimit, max_file_bytes=settings.max_file_bytes, max_json_bytes=settings.max_json_bytes)
    app.add_middleware(Idempotency)
    app.add_middleware(Access)
    app.add_middleware(RequestId)
    return app
