"""What every embedder promises. A back end inherits the class and says how it is opened."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from retrieval.embedders.base import Embedder

TEXTS = [
    "The pump is checked every second spring.",
    "Pumps are inspected once in two years.",
    "日本語の文書です。",
    "a",
    "Größe, naïveté and 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩🏽‍🚀",
    "PX-200/4",
    "words " * 120,
    "An entirely different subject: the history of the violin in northern Italy.",
]


class EmbedderContract:
    """Inherit, and provide the fixture `opened`, best with the scope of the class."""

    # How far vectors of the same text may lie apart when they are computed in other company.
    tolerance = 1e-5

    @pytest.fixture
    def opened(self) -> Embedder:
        raise NotImplementedError

    def test_vectors_are_normalised_float32_rows(self, opened: Embedder) -> None:
        """One row for each text, of the identity's dimension and of length 1."""
        vectors = opened.embed_documents(TEXTS)
        assert (np.float32, (len(TEXTS), opened.identity.dimension)) == (vectors.dtype, vectors.shape)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=5e-3)

    def test_no_texts_give_no_rows(self, opened: Embedder) -> None:
        """An empty list is allowed, for documents and for queries."""
        for embed in (opened.embed_documents, opened.embed_queries):
            vectors = embed([])
            assert (np.float32, (0, opened.identity.dimension)) == (vectors.dtype, vectors.shape)

    def test_rows_stand_in_the_order_of_the_texts(self, opened: Embedder) -> None:
        """However the texts are batched inside, each row is its own text's."""
        forwards = opened.embed_documents(TEXTS)
        backwards = opened.embed_documents(TEXTS[::-1])
        np.testing.assert_allclose(forwards, backwards[::-1], atol=self.tolerance)

    def test_a_vector_does_not_depend_on_its_company(self, opened: Embedder) -> None:
        """Alone, or padded beside a long text: the same vector."""
        together = opened.embed_documents(TEXTS)
        alone = np.concatenate([opened.embed_documents([text]) for text in TEXTS])
        np.testing.assert_allclose(together, alone, atol=self.tolerance)

    def test_related_texts_are_nearer_than_unrelated_ones(self, opened: Embedder) -> None:
        """A question is nearer to the text that shares its words than to another one."""
        query = opened.embed_queries(["When is the pump checked?"])[0]
        near, far = opened.embed_documents([TEXTS[0], TEXTS[7]]) @ query
        assert near > far

    def test_a_very_long_text_is_read_at_its_beginning(self, opened: Embedder) -> None:
        """What stands behind `max_tokens` changes nothing, and ten thousand words are no error."""
        words = [f"word{n % 50}" for n in range(10_000)]
        text = " ".join(words)
        end = opened.token_spans(text)[opened.max_tokens - 1][1]
        whole, beginning, other = opened.embed_documents([text, text[:end], "something else"])
        np.testing.assert_allclose(whole, beginning, atol=self.tolerance)
        assert whole @ other < 0.99

    def test_token_spans_ascend_and_hold_the_words(self, opened: Embedder) -> None:
        """Spans are characters, also behind characters of four bytes, and no special token is among them."""
        text = "👩🏽‍🚀 Größe of 𝔘 the\n pumps: PX-200/4 日本語"
        spans = opened.token_spans(text)
        assert sorted(spans) == spans
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        covered = {position for start, end in spans for position in range(start, end)}
        assert {i for i, c in enumerate(text) if c.isalnum()} - {text.index("𝔘")} <= covered
        assert [] == opened.token_spans("") == opened.token_spans(" \n ")

    def test_token_spans_are_not_cut_at_the_limit(self, opened: Embedder) -> None:
        """Chunking counts the tokens of whole documents with it."""
        text = "word " * (3 * opened.max_tokens)
        assert 3 * opened.max_tokens == len(opened.token_spans(text))

    def test_blank_text_has_a_vector(self, opened: Embedder) -> None:
        """No input makes a vector that is not finite."""
        assert np.isfinite(opened.embed_documents(["", " ", "\n", "\x00", "\ud7ff"])).all()

    def test_eight_threads_get_their_own_vectors(self, opened: Embedder) -> None:
        """Inferences at the same time do not mix."""
        texts = [f"text number {n} " * (n + 1) for n in range(24)]
        expected = opened.embed_documents(texts)
        with ThreadPoolExecutor(8) as pool:
            found = np.concatenate(list(pool.map(lambda text: opened.embed_documents([text]), texts)))
        np.testing.assert_allclose(expected, found, atol=self.tolerance)

    def test_the_identity_names_the_model(self, opened: Embedder) -> None:
        """The key that is stored with a vector store holds name, revision and dimension."""
        identity = opened.identity
        assert f"{identity.model}@{identity.revision[:12]}/{identity.dimension}" == identity.key
