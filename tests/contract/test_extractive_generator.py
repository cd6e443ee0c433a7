"""The extractive generator keeps the promises of every generator."""

import pytest

from generation.backends.base import Generator
from generation.backends.extractive import ExtractiveGenerator
from retrieval.embedders.hashing import HashingEmbedder
from tests.contract.generator import GeneratorContract


class TestExtractiveGenerator(GeneratorContract):
    @pytest.fixture
    def opened(self, embedder: HashingEmbedder) -> Generator:
        return ExtractiveGenerator(embedder, min_evidence=0.0)
