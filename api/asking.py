"""What the endpoints that answer questions share: what is asked of the answerer, and how a stream is sent."""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from api.auth import Caller
from api.wire.search import FileSearch, to_filter, to_ranking
from api.wiring import ANSWER_MODEL, Services
from catalog import stores
from catalog.errors import FootnoteError, NotFound
from generation.answerer import DEFAULT_MAX_RESULTS, DEFAULT_MAX_TOKENS, AnswerRequest
from retrieval.indexes.base import Scope

log = logging.getLogger(__name__)


def answer_request(
    services: Services, caller: Caller, *, model: str, question: str, search: FileSearch | None, max_tokens: int | None
) -> AnswerRequest:
    """Check everything that can be wrong before a stream begins, where it can still be told by a status.

    Without `search` every store is searched that the caller may see. Raises NotFound for a model or a store.
    """
    if model != ANSWER_MODEL:
        raise NotFound(f"There is no model {model!r}; GET /v1/models lists them.", param="model")
    with services.catalog.database.read() as session:
        if search is None:
            store_ids = stores.ids_of_project(session, caller.project_id)
        else:
            store_ids = [stores.get(session, caller.project_id, i).id for i in search.vector_store_ids]
    return AnswerRequest(
        question=question,
        scope=Scope(vector_store_ids=frozenset(store_ids), filter=to_filter(search.filters if search else None)),
        max_results=(search.max_num_results if search else None) or DEFAULT_MAX_RESULTS,
        ranking=to_ranking(search.ranking_options if search else None, services.ranking),
        max_tokens=max_tokens or DEFAULT_MAX_TOKENS,
    )


def event_stream(pieces: Callable[[Callable[[], bool]], Iterator[str]]) -> StreamingResponse:
    """Send what `pieces` yields, which is told when the client has gone away in mid-stream: the generation ends."""
    gone = threading.Event()

    async def send() -> AsyncIterator[str]:
        try:
            async for piece in iterate_in_threadpool(pieces(gone.is_set)):
                yield piece
        finally:
            gone.set()

    return StreamingResponse(send(), media_type="text/event-stream")


def stated(error: Exception, answer_id: str) -> FootnoteError:
    """Log what broke an answer off in mid-stream, and return what its reader is told."""
    if isinstance(error, FootnoteError):
        log.error("Answer %s failed: %s", answer_id, error.message)
        return error
    log.error("Answer %s failed", answer_id, exc_info=error)
    return FootnoteError("The server had an unexpected error; its log holds the details.")
