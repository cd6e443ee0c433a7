"""The sample documents with the real embedder: every document is read, and every footnote is true."""

import re
from typing import Any

import pytest

from tests.integration.conftest import SAMPLE, Footnote

Sample = tuple[Footnote, str]
DOCUMENTS = sorted(path.name for path in SAMPLE.iterdir())


def entries(sample: Sample) -> dict[str, dict[str, Any]]:
    footnote, store = sample
    listed = footnote.get(f"/v1/vector_stores/{store}/files", limit=100)["data"]
    return {entry["filename"]: entry for entry in listed}


def test_every_sample_document_becomes_ready(sample: Sample) -> None:
    """None fails, and every page gives text."""
    found = entries(sample)
    assert sorted(found) == DOCUMENTS
    for entry in found.values():
        assert (entry["status"], entry["last_error"]) == ("completed", None)
        assert entry["coverage"]["pages"] == entry["coverage"]["pages_read"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_citation_is_the_stored_text_at_its_range(sample: Sample, name: str) -> None:
    """Asked with its own sentences, a document is cited, and each cited range of the stored text is the quote."""
    footnote, store = sample
    file = entries(sample)[name]["id"]
    path = f"/v1/vector_stores/{store}/files/{file}"
    stored = footnote.get(f"{path}/text")
    cited = 0
    for question in questions_from(footnote.get(f"{path}/content")["data"]):
        for note in notes_of(footnote.respond(question, store)):
            cited += note["file_id"] == file
            text = (
                stored
                if note["file_id"] == file
                else footnote.get(f"/v1/vector_stores/{store}/files/{note['file_id']}/text")
            )
            assert text["text"][note["start"] : note["end"]] == note["quote"]
            assert note["quote"].strip()
            assert note["page"] == page_of(text["pages"], note["start"])
    assert cited > 0


def questions_from(parts: list[dict[str, Any]]) -> list[str]:
    """Return the longest line of at most six chunks, spread over the document."""
    chosen = parts[:: max(1, len(parts) // 6)][:6]
    return [max(part["text"].splitlines(), key=len)[:500] for part in chosen]


def notes_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    return list(response["output"][1]["content"][0]["annotations"])


def page_of(pages: list[dict[str, int]], position: int) -> int | None:
    return next((page["page"] for page in pages if page["start"] <= position < page["end"]), None)


def test_every_chunk_is_the_stored_text_at_its_range(sample: Sample) -> None:
    """For all documents, /content and /text agree, and chunks are in order."""
    footnote, store = sample
    for entry in entries(sample).values():
        path = f"/v1/vector_stores/{store}/files/{entry['id']}"
        stored, parts = footnote.get(f"{path}/text")["text"], footnote.get(f"{path}/content")["data"]
        assert [stored[part["start"] : part["end"]] for part in parts] == [part["text"] for part in parts]
        assert parts == sorted(parts, key=lambda part: part["start"])
        assert len(parts) == entry["coverage"]["chunks"]


@pytest.mark.parametrize(
    ("question", "filename", "words"),
    [
        ("What is the price of part 90-0204?", "spare-parts-prices.csv", "64"),
        ("Welche Temperatur hat die Kühlzelle K12?", "kuehlzelle-k12-kurzanleitung.md", None),
    ],
)
def test_a_question_finds_its_document_first(sample: Sample, question: str, filename: str, words: str | None) -> None:
    """Part numbers and other languages lead to the document that holds them."""
    footnote, store = sample
    hits = footnote.search(store, question, max_num_results=3)
    assert filename in [hit["filename"] for hit in hits]
    if words:
        assert any(re.search(rf"\b{words}\b", hit["content"][0]["text"]) for hit in hits if hit["filename"] == filename)


def test_a_second_store_with_the_same_files_has_the_same_chunks(sample: Sample) -> None:
    """Copied instead of worked out anew, and equal to the last character."""
    footnote, store = sample
    files = [entry["id"] for entry in entries(sample).values()]
    copy = footnote.store(file_ids=files)
    footnote.work()

    def chunks(of: str, file: str) -> list[tuple[Any, ...]]:
        parts = footnote.get(f"/v1/vector_stores/{of}/files/{file}/content")["data"]
        return [(part["start"], part["end"], part["text"], part["page"]) for part in parts]

    assert [chunks(copy, file) for file in files] == [chunks(store, file) for file in files]
    footnote.client.delete(f"/v1/vector_stores/{copy}")
