"""Searches that go on while the embedding model of the catalog becomes another one."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from catalog import embeddings
from catalog.database import Database
from catalog.errors import FootnoteError, ModelReplaced
from catalog.models import EmbeddingModel
from generation.answerer import Answering
from retrieval.embedders.base import Embedder
from retrieval.indexes.base import Scope
from retrieval.replica import Replica
from retrieval.searcher import IndexState, SearchRequest, SearchResult, VersionedSearch

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# How often a process asks the catalog which model is current and which one is coming: one look at a table of two rows.
POLL_S: Final = 1.0
# How long a process that says nothing counts as one that answers.
_LIFETIME_S: Final = 10.0
# Rest after a model could not be opened.
_RETRY_S: Final = 10.0


@dataclass(kw_only=True, eq=False)
class Engine:
    """Everything that answers with one embedding model."""

    identity: str
    embedder: Embedder
    replica: Replica
    searcher: VersionedSearch
    # By the name of their profile.
    answerers: Mapping[str, Answering]
    # Searches that are under way.
    users: int = 0
    is_retired: bool = False

    def retire(self) -> None:
        """Let go of the index. The embedder goes with the last answer that is being written with it."""
        self.searcher.close()
        self.replica.index.close()

    def close(self) -> None:
        self.searcher.close()
        self.replica.index.close()
        self.embedder.close()


# Opens an engine for a model of the catalog, None for that of the settings; its answers are to search with the second.
OpenEngine = Callable[[EmbeddingModel | None, VersionedSearch], Engine]


class Live:
    """The engine in use, and in a process that watches the catalog the one that will be.

    A search that begins before the switch is answered with the old model, and every later one with the new: whoever
    meets the switch under way takes the new engine, if it is open by then, and raises ModelReplaced if it is not.
    """

    def __init__(self, database: Database, open_engine: OpenEngine) -> None:
        self._database = database
        self._open_engine = open_engine
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._lock = threading.Lock()
        self._next: Engine | None = None
        self._opening: threading.Thread | None = None
        self._is_closing = threading.Event()
        with database.read() as session:
            model = embeddings.current(session)
        self._current = open_engine(model, self)

    @property
    def current(self) -> Engine:
        return self._current

    def search(self, request: SearchRequest) -> SearchResult:
        """As Searcher does."""
        return self._ask(lambda searcher: searcher.search(request))

    def state(self, scope: Scope) -> IndexState:
        """As Searcher does."""
        return self._ask(lambda searcher: searcher.state(scope))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Meanwhile open what becomes current, in advance where the catalog says so."""
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop,), name="model-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        self._is_closing.set()
        if self._opening is not None:
            self._opening.join()
        if self._next is not None:
            self._next.close()
        self._current.close()

    def _ask(self, question: Callable[[VersionedSearch], _T]) -> _T:
        try:
            return self._ask_once(question)
        except ModelReplaced:
            if not self._advance():
                raise
            return self._ask_once(question)

    def _ask_once(self, question: Callable[[VersionedSearch], _T]) -> _T:
        with self._lock:
            engine = self._current
            engine.users += 1
        try:
            return question(engine.searcher)
        finally:
            with self._lock:
                engine.users -= 1
                is_last = engine.is_retired and not engine.users
            if is_last:
                engine.retire()

    def _advance(self) -> bool:
        """Take the engine of the current model into use; return whether it is."""
        with self._database.read() as session:
            model = embeddings.current(session)
        with self._lock:
            old = self._current
            if model is None or model.identity == old.identity:
                return True
            if self._next is None or self._next.identity != model.identity:
                return False
            self._current, self._next = self._next, None
            old.is_retired = True
            is_unused = not old.users
        log.info("Searches use the embedding model %s.", model.identity)
        if is_unused:
            old.retire()
        return True

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(POLL_S):
            try:
                self._follow()
            except FootnoteError as error:
                log.warning("%s Trying again.", error.message)
            except Exception:
                log.exception("Unexpected error while following the embedding model; trying again.")

    def _follow(self) -> None:
        with self._database.read() as session:
            model, coming = embeddings.current(session), embeddings.awaited(session)
        if model is not None and model.identity != self._current.identity and not self._advance():
            self._open(model)
        elif coming is not None and coming.identity != self._current.identity:
            self._open(coming)
            is_open = self._next is not None and self._next.identity == coming.identity
            embeddings.report(self._database, self._name, coming.number if is_open else 0, lifetime_s=_LIFETIME_S)
        else:
            self._drop()

    def _open(self, model: EmbeddingModel) -> None:
        """Have the engine of a model opened, unless it is or another one is being opened."""
        if self._next is not None and self._next.identity == model.identity:
            return
        self._drop()
        if self._opening is None or not self._opening.is_alive():
            self._opening = threading.Thread(target=self._open_next, args=(model,), name="model-opening", daemon=True)
            self._opening.start()

    def _open_next(self, model: EmbeddingModel) -> None:
        try:
            engine = self._open_engine(model, self)
        except FootnoteError as error:
            log.error("The embedding model %s cannot be opened: %s", model.identity, error.message)
        except Exception:
            log.exception("The embedding model %s cannot be opened.", model.identity)
        else:
            with self._lock:
                self._next = engine
            return
        self._is_closing.wait(_RETRY_S)

    def _drop(self) -> None:
        """Close an engine that nobody waits for any more."""
        with self._lock:
            unwanted, self._next = self._next, None
        if unwanted is not None:
            unwanted.close()


@contextmanager
def until_replaced(database: Database, identity: str, stop: threading.Event) -> Iterator[threading.Event]:
    """Yield what is set when `stop` is, and when `identity` is not the current model's any more."""
    ended = threading.Event()

    def watch() -> None:
        while not stop.wait(POLL_S) and not ended.is_set():
            try:
                with database.read() as session:
                    embeddings.check_current(session, identity)
            except ModelReplaced as error:
                log.info("%s It is opened now.", error.message)
                break
            except FootnoteError as error:
                log.warning("%s Trying again.", error.message)
        ended.set()

    thread = threading.Thread(target=watch, name="model-watch", daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        ended.set()
        thread.join()
