"""The Qdrant index keeps the contract: on the client's local mode behind HTTP, and on a real server if there is one."""

import os
import uuid
from collections.abc import Iterator

import pytest

from retrieval.indexes.base import PassageIndex
from retrieval.indexes.qdrant import QdrantIndex
from retrieval.indexes.qdrant_collection import QdrantOptions
from tests.contract.passage_index import DIMENSION, PassageIndexContract
from tests.qdrant import qdrant_server
from tests.qdrant_engine import EngineClient

REAL_SERVER = os.environ.get("FOOTNOTE_TEST_QDRANT_URL")


def an_index(url: str, **options: object) -> QdrantIndex:
    fields = {"url": url, "prefix": "test", **options}
    # Changes that a test gives are the newest ones.
    return QdrantIndex(QdrantOptions(**fields), identity="hashing", dimension=DIMENSION, newest_changes=lambda ids: {})


class TestQdrantIndexInLocalMode(PassageIndexContract):
    """On the client's local mode, with all requests and replies going through HTTP."""

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with qdrant_server() as self.server:
            yield

    def open_index(self) -> PassageIndex:
        return an_index(self.server.url)


class TestQdrantIndexOnItsEngine(PassageIndexContract):
    """On Qdrant's own engine in this process, with all requests and replies going through HTTP."""

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with qdrant_server(engine=EngineClient()) as self.server:
            yield

    def open_index(self) -> PassageIndex:
        return an_index(self.server.url)


@pytest.mark.skipif(REAL_SERVER is None, reason="FOOTNOTE_TEST_QDRANT_URL names no server")
class TestQdrantIndexOnAServer(PassageIndexContract):
    """On the server that the environment names, in a collection of its own that goes afterwards."""

    @pytest.fixture(autouse=True)
    def _collection(self) -> Iterator[None]:
        assert REAL_SERVER is not None
        self.opened = an_index(REAL_SERVER, prefix=f"test-{uuid.uuid4().hex[:12]}")
        yield
        cleaner = an_index(REAL_SERVER, prefix=self.opened._collection._options.prefix)
        cleaner._collection.drop()
        cleaner.close()

    def open_index(self) -> PassageIndex:
        return self.opened
