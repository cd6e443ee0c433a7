"""Turns to answer: so many answers are written at once; more wait in line, and hold up no other request."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

T = TypeVar("T")


class Turns:
    """Threads of their own for writing answers; whoever asks first is answered first.

    The pool that all other requests share would be taken up by them: an answer takes it for as long as it is written.
    """

    def __init__(self, answers: int) -> None:
        """`answers`: how many are written at once."""
        self._slots = asyncio.Semaphore(answers)
        self._threads = CapacityLimiter(answers)
        self._writing: set[asyncio.Task[None]] = set()

    async def run(self, write: Callable[[], T]) -> T:
        """Wait for a turn, and return what `write` returns."""
        async with self._slots:
            return await to_thread.run_sync(write, limiter=self._threads)

    async def stream(self, pieces: Iterator[T]) -> AsyncGenerator[T, None]:
        """Yield the pieces as they come. The first is made before the wait for a turn: it should cost nothing.

        The turn ends with the last piece made, not with the last one taken: a reader that is slow keeps its own answer
        waiting, and no other one. One that goes away in line gives up its place.
        """
        ready: asyncio.Queue[T | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def write() -> None:
            for piece in pieces:
                loop.call_soon_threadsafe(ready.put_nowait, piece)

        async def take_turn() -> None:
            try:
                await self.run(write)
            finally:
                ready.put_nowait(None)

        first = await to_thread.run_sync(next, pieces, None)
        if first is None:
            return
        yield first
        task = asyncio.create_task(take_turn())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        try:
            while (piece := await ready.get()) is not None:
                yield piece
            await task
        finally:
            task.cancel()


def _turns(request: Request) -> Turns:
    found: Turns = request.app.state.turns
    return found


TurnsOf = Annotated[Turns, Depends(_turns)]
