"""What every passage index promises. A back end inherits the class and says how it is opened."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from catalog.errors import IndexIncompatible
from retrieval.filters import parse_filter
from retrieval.indexes.base import Hit, PassageIndex, Scope
from tests.builders import EMBEDDER, a_publication, a_removal, a_scope, vectors_for

DIMENSION = EMBEDDER.identity.dimension
# Cosines of float16 vectors, summed in different orders.
TOLERANCE = 2e-3


def dense(index: PassageIndex, query: str, *, limit: int = 10, scope: Scope | None = None) -> list[Hit]:
    return index.search_dense(EMBEDDER.embed_queries([query])[0], limit=limit, scope=scope or a_scope())


def lexical(index: PassageIndex, query: str, *, limit: int = 10, scope: Scope | None = None) -> list[Hit]:
    return index.search_lexical(query, limit=limit, scope=scope or a_scope())


def ids(hits: list[Hit]) -> list[int]:
    return [hit.chunk_id for hit in hits]


class PassageIndexContract:
    """Inherit, and override `open_index`."""

    def open_index(self) -> PassageIndex:
        raise NotImplementedError

    @pytest.fixture
    def index(self) -> Iterator[PassageIndex]:
        index = self.open_index()
        yield index
        index.close()

    def test_an_empty_index_finds_nothing(self, index: PassageIndex) -> None:
        """Before the first change there are no hits and no chunks, and the position is 0."""
        assert (dense(index, "a"), lexical(index, "a"), index.count(), index.position) == ([], [], 0, 0)

    def test_a_published_document_is_found_by_meaning_and_by_words(self, index: PassageIndex) -> None:
        """All of its chunks are visible at once, and the position is the change's number."""
        index.apply([a_publication(7, 1, "red apples", "green pears")])
        assert ids(dense(index, "red apples")) == [100, 101]
        assert pytest.approx(1.0, abs=TOLERANCE) == dense(index, "red apples")[0].score
        assert ids(lexical(index, "pears?")) == [101]
        assert (index.count(), index.position) == (2, 7)

    def test_every_dense_hit_has_its_own_cosine(self, index: PassageIndex) -> None:
        """Scores are dot products of the stored vectors, best first, negative ones included."""
        texts = [f"text number {n}" for n in range(20)]
        index.apply([a_publication(1, 1, *texts)])
        hits = dense(index, "something else", limit=20)
        query = EMBEDDER.embed_queries(["something else"])[0]
        cosines = vectors_for(*texts).astype(np.float32) @ query
        assert list(100 + np.argsort(-cosines, kind="stable")) == ids(hits)
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosines)[::-1], atol=TOLERANCE)
        assert all(type(hit.score) is float and type(hit.chunk_id) is int for hit in hits)

    def test_lexical_scores_are_positive_and_reward_rare_and_repeated_words(self, index: PassageIndex) -> None:
        """A rare word counts more than a frequent one, and a chunk that repeats it more than one that does not."""
        texts = ["common rare", "common filler", "common filler", "rare rare", "common other", "filler words here"]
        index.apply([a_publication(1, 1, *texts)])
        hits = lexical(index, "common rare")
        assert all(hit.score > 0 for hit in hits)
        assert {103, 100} == set(ids(hits)[:2])
        assert ids(lexical(index, "rare")) == [103, 100]

    def test_a_part_number_is_found_whole_and_by_its_parts(self, index: PassageIndex) -> None:
        """Words are the same terms in documents and questions, with accents, case and signs."""
        index.apply([a_publication(1, 1, "Pumpe PX-200/4 für Öl", "Die Brücke", "日本語の文書", "c++ and c#")])
        assert ids(lexical(index, "px-200/4")) == [100]
        assert ids(lexical(index, "200")) == [100]
        assert ids(lexical(index, "BRUCKE")) == [101]
        assert ids(lexical(index, "文書")) == [102]
        assert ids(lexical(index, "C++")) == [103]

    @pytest.mark.parametrize("query", ["", "  ", "?!", '"', "'", "AND", "NEAR(a b)", "a* OR", "(", "col:x", "-x", "^"])
    def test_no_query_is_a_syntax_error(self, index: PassageIndex, query: str) -> None:
        """What people type is text, never an expression; a question without a word finds nothing."""
        index.apply([a_publication(1, 1, "some words")])
        assert lexical(index, query) == []

    def test_a_query_of_many_words_is_answered(self, index: PassageIndex) -> None:
        """A pasted page is a question like any other."""
        index.apply([a_publication(1, 1, "needle")])
        assert ids(lexical(index, "needle " + " ".join(f"word{n}" for n in range(2000)))) == [100]

    def test_a_removed_document_is_never_returned(self, index: PassageIndex) -> None:
        """Neither side finds a chunk of it, whatever the limit, and it is not counted."""
        index.apply([a_publication(n, n, f"words {n}", "words") for n in range(1, 6)])
        index.apply([a_removal(6, 2), a_removal(7, 4)])
        expected = {100, 101, 300, 301, 500, 501}
        assert expected == set(ids(dense(index, "words", limit=100))) == set(ids(lexical(index, "words", limit=100)))
        assert index.count() == 6

    def test_an_index_that_lost_every_document_is_empty_and_goes_on(self, index: PassageIndex) -> None:
        """Removing the last document leaves nothing, and a new one is found."""
        index.apply([a_publication(1, 1, "words"), a_removal(2, 1)])
        assert (dense(index, "words"), lexical(index, "words"), index.count()) == ([], [], 0)
        index.apply([a_publication(3, 2, "words")])
        assert [200] == ids(dense(index, "words")) == ids(lexical(index, "words"))

    def test_the_removal_of_an_unknown_document_changes_nothing(self, index: PassageIndex) -> None:
        """A document that came and went between two looks at the feed is a removal alone."""
        index.apply([a_publication(1, 1, "words"), a_removal(5, 77)])
        assert (ids(dense(index, "words")), index.count(), index.position) == ([100], 1, 5)

    def test_applying_changes_again_changes_nothing(self, index: PassageIndex) -> None:
        """Once or twice, alone or with newer ones: the same content, nothing double."""
        changes = [a_publication(1, 1, "words one"), a_publication(2, 2, "words two"), a_removal(3, 1)]
        for batch in (changes[:1], changes[:2], changes, changes, changes[1:]):
            index.apply(batch)
        assert [200] == ids(dense(index, "words")) == ids(lexical(index, "words"))
        assert (index.count(), index.position) == (1, 3)

    def test_no_changes_change_nothing(self, index: PassageIndex) -> None:
        """An empty list is allowed."""
        index.apply([a_publication(4, 1)])
        index.apply([])
        assert (index.count(), index.position) == (1, 4)

    def test_new_attributes_count_in_the_next_search(self, index: PassageIndex) -> None:
        """A change of attributes moves a document in and out of filters, without a second copy of it."""
        year = parse_filter({"type": "eq", "key": "year", "value": 2020})
        scope = a_scope(filter=year)
        index.apply([a_publication(1, 1, "words", attributes={"year": 2019})])
        assert [] == dense(index, "words", scope=scope) == lexical(index, "words", scope=scope)
        index.apply([a_publication(2, 1, "words", attributes={"year": 2020})])
        assert [100] == ids(dense(index, "words", scope=scope)) == ids(lexical(index, "words", scope=scope))
        assert [100] == ids(dense(index, "words")) == ids(lexical(index, "words"))
        assert index.count() == 1

    @pytest.mark.parametrize("share", [1, 2, 10, 100, 300])
    def test_a_filtered_search_is_exact(self, index: PassageIndex, share: int) -> None:
        """Among 300 documents a filter that admits every n-th gives the best of those, not what is left of the best."""
        publications = [a_publication(n, n, f"word{n % 7} word{n % 11}", attributes={"n": n}) for n in range(1, 301)]
        index.apply(publications)
        admitted = [n for n in range(1, 301) if n % share == 0]
        scope = a_scope(filter=parse_filter({"type": "in", "key": "n", "value": admitted}))
        for search in (dense, lexical):
            everything = search(index, "word3 word5", limit=1000)
            expected = [hit for hit in everything if hit.chunk_id // 100 in set(admitted)]
            assert ids(expected[:5]) == ids(search(index, "word3 word5", limit=5, scope=scope))

    def test_stores_do_not_see_each_other(self, index: PassageIndex) -> None:
        """A search finds chunks of the stores in its scope alone; several stores are searched as one."""
        index.apply([a_publication(n, n, f"words {n}", vector_store_id=f"vs_{n}") for n in (1, 2, 3)])
        for search in (dense, lexical):
            assert ids(search(index, "words", scope=a_scope("vs_2"))) == [200]
            assert {100, 300} == set(ids(search(index, "words", scope=a_scope("vs_1", "vs_3", "vs_none"))))
            assert search(index, "words", scope=a_scope("vs_none")) == []
            assert search(index, "words", scope=Scope(vector_store_ids=frozenset())) == []

    def test_a_chunk_counts_once_by_its_best_window(self, index: PassageIndex) -> None:
        """A long chunk with many near windows neither appears twice nor crowds the others out."""
        windows = ["near words here", "near words", "near words too", "far away", "near words again"]
        long = a_publication(
            1,
            1,
            "a long text",
            "another",
            vectors=vectors_for(*windows, "other things"),
            window_chunk_ids=np.array([100] * 5 + [101], dtype=np.int64),
        )
        index.apply([long, a_publication(2, 2, "quite different", "nothing alike")])
        hits = dense(index, "near words", limit=4)
        assert hits[0].chunk_id == 100
        assert pytest.approx(1.0, abs=TOLERANCE) == hits[0].score
        assert {100, 101, 200, 201} == set(ids(hits))
        assert ids(dense(index, "near words", limit=1)) == [100]
        assert index.count() == 4

    def test_equal_scores_are_ordered_by_chunk_id(self, index: PassageIndex) -> None:
        """The order does not depend on the order of arrival, also where the limit cuts through the equals."""
        for seq, document_id in enumerate((3, 5, 1, 4, 2), start=1):
            index.apply([a_publication(seq, document_id, "equal words")])
        for limit in (1, 2, 3, 5, 9):
            expected = [100, 200, 300, 400, 500][:limit]
            assert expected == ids(dense(index, "equal", limit=limit)) == ids(lexical(index, "equal", limit=limit))

    def test_a_limit_above_the_content_gives_everything(self, index: PassageIndex) -> None:
        """Asking for more than there is is no error."""
        index.apply([a_publication(1, 1, "words", "other")])
        assert {100, 101} == set(ids(dense(index, "words", limit=10_000)))
        assert ids(lexical(index, "words", limit=10_000)) == [100]

    def test_vectors_of_another_model_are_refused(self, index: PassageIndex) -> None:
        """A wrong dimension is an error in both directions, and leaves the index as it was."""
        index.apply([a_publication(1, 1, "words")])
        wrong = a_publication(2, 2, "words", vectors=np.ones((1, DIMENSION + 1), dtype=np.float16))
        with pytest.raises(IndexIncompatible, match=f"{DIMENSION + 1}.*{DIMENSION}"):
            index.apply([wrong])
        with pytest.raises(IndexIncompatible):
            index.search_dense(np.ones(DIMENSION - 1, dtype=np.float32), limit=1, scope=a_scope())
        assert (index.count(), ids(dense(index, "words")), ids(lexical(index, "words"))) == (1, [100], [100])

    def test_searches_and_changes_may_come_from_many_threads(self, index: PassageIndex) -> None:
        """While documents come and go, every search answers, and what stays is always found."""
        index.apply([a_publication(1, 1, "always here")])
        problems: list[object] = []
        stop = threading.Event()

        def search() -> None:
            while not stop.is_set():
                try:
                    for found in (ids(dense(index, "always here", limit=3)), ids(lexical(index, "always"))):
                        if 100 not in found:
                            problems.append(found)
                except Exception as error:  # noqa: BLE001 - reported below, from the test's own thread
                    problems.append(error)
                    return

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(2, 60):
            index.apply([a_publication(2 * n, n, f"comes {n}", f"and goes {n}")])
            index.apply([a_removal(2 * n + 1, n)])
        stop.set()
        for thread in threads:
            thread.join()
        assert problems == []
