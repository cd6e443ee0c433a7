"""Keeps a passage index equal to the catalog."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from catalog import feed
from catalog.database import Database
from retrieval.indexes.base import PassageIndex

# Changes per step. The feed bounds what they hold; removals hold nothing.
_BATCH_CHANGES: Final = 1000

Turn = Callable[[], AbstractContextManager[None]]


class Replica:
    """A passage index and the change feed that it follows.

    `catch_up` before a search makes every committed publication, deletion and attribute change visible to it,
    whichever process made it. With nothing new it costs microseconds, or one look-up of the feed's last number.
    """

    def __init__(self, database: Database, index: PassageIndex, *, identity: str, turn: Turn = nullcontext) -> None:
        """`identity`: key of the embedding model; documents without vectors of it are not indexed.

        `turn`: what an index that is shared by processes waits for before each step, so that one of them works.
        """
        self._database = database
        self._identity = identity
        self._turn = turn
        self._lock = threading.Lock()
        # The last change that was seen, and the state of the database before it was looked up. Replaced as a whole.
        self._seen: tuple[int, int | None] = (-1, None)
        self.index = index

    def catch_up(self) -> int:
        """Apply all changes committed so far; return the number of the last one."""
        state = self._database.state()
        seen, seen_state = self._seen
        if state is not None and state == seen_state:
            return seen
        with self._database.read() as session:
            newest = feed.position(session)
        if newest > seen:
            with self._lock:
                while self.index.position < newest and self._step():
                    pass
        if newest >= self._seen[0]:
            self._seen = (newest, state)
        return newest

    def _step(self) -> bool:
        """Apply the next changes; return whether there were any."""
        with self._turn():
            position = self.index.position
            with self._database.read() as session:
                changes = feed.changes_after(session, position, limit=_BATCH_CHANGES, identity=self._identity)
            self.index.apply(changes)
        return bool(changes)
