"""The exact index keeps the contract: it is the oracle of the others."""

from retrieval.indexes.base import PassageIndex
from retrieval.indexes.memory import MemoryIndex
from tests.contract.passage_index import DIMENSION, PassageIndexContract


class TestMemoryIndex(PassageIndexContract):
    def open_index(self) -> PassageIndex:
        return MemoryIndex(dimension=DIMENSION)
