"""What the endpoints that answer questions share: what is asked of the answerer, and how a stream is sent."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse

from api.turns import Turns
from api.visibility import Caller, search_scope
from api.wire.search import FileSearch, to_filter, to_ranking
from api.wiring import Services
from catalog.errors import FootnoteError, UnsupportedParameter
from generation.answerer import AnswerRequest
from generation.backends.base import Sampling
from generation.turns import Turn
from retrieval.indexes.base import Scope

log = logging.getLogger(__name__)

T = TypeVar("T")

# What proxies write into their logs where a client closed its connection; nobody else sees it.
_CLIENT_CLOSED_REQUEST: Final = 499


def answer_request(
    services: Services,
    caller: Caller,
    *,
    model: str,
    question: str,
    searches: Sequence[FileSearch],
    turns: Sequence[Turn] = (),
    sampling: Sampling | None = None,
    max_calls: int | None = None,
    is_searching: bool = True,
) -> AnswerRequest:
    """Check everything that can be wrong before a stream begins, where it can still be told by a status.

    Without `searches` every store is searched that the caller may see; with `is_searching` false, none. Raises
    NotFound for a model or a store, UnsupportedParameter for searches that differ in more than their stores.
    """
    profile = services.profile_of(model)
    search = _joined(searches)
    with services.catalog.database.read() as session:
        store_ids = None if search is None else search.vector_store_ids
        scope = search_scope(session, caller, store_ids, to_filter(search.filters if search else None))
    return profile.request(
        question=question,
        turns=turns,
        scope=scope if is_searching else Scope(vector_store_ids=frozenset()),
        max_results=search.max_num_results if search else None,
        steps=search.max_steps if search else None,
        max_calls=max_calls,
        ranking=to_ranking(search.ranking_options if search else None, profile.ranking),
        sampling=sampling,
    )


def _joined(searches: Sequence[FileSearch]) -> FileSearch | None:
    """Return one search of the stores of all."""
    if not searches:
        return None
    options = [search.model_dump(exclude={"vector_store_ids"}) for search in searches]
    if any(one != options[0] for one in options):
        raise UnsupportedParameter(
            "Several file_search tools are searched as one: all but their vector_store_ids has to be equal.",
            param="tools",
        )
    store_ids = dict.fromkeys(store_id for search in searches for store_id in search.vector_store_ids)
    return searches[0].model_copy(update={"vector_store_ids": list(store_ids)})


async def whole(request: Request, turns: Turns, write: Callable[[Callable[[], bool]], T]) -> T:
    """Return what `write` returns, which is told when the client has gone away meanwhile: the generation ends.

    One that goes away in line gives up its place. Raises HTTPException, which nobody reads.
    """
    gone = threading.Event()
    writing = asyncio.create_task(turns.run(lambda: write(gone.is_set)))
    # The body has been read: what else comes is the end of the connection.
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            return writing.result()
    finally:
        gone.set()
        leaving.cancel()
        writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    raise HTTPException(_CLIENT_CLOSED_REQUEST, "The client has gone away")


def event_stream(turns: Turns, pieces: Callable[[Callable[[], bool]], Generator[str, None, None]]) -> StreamingResponse:
    """Send what `pieces` yields, which is told when the client has gone away in mid-stream: the generation ends."""
    gone = threading.Event()

    async def send() -> AsyncIterator[str]:
        try:
            async with aclosing(turns.stream(pieces(gone.is_set))) as stream:
                async for piece in stream:
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
