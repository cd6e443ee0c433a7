"""Questions whose answers are known as places in documents, for comparing ways of chunking."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evaluation.spans import Span
from ingest.documents import Category, Element, ParsedDocument
from ingest.parsers import parse_file
from ingest.pipeline import page_spans
from retrieval.sentences import trim

_BLANK_LINES: Final = re.compile(r"\n[^\S\n]*+(?:\n[^\S\n]*+)+")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    text: str
    document: str
    # Where the answer stands: excerpts, or whole pages, or the whole document.
    gold: Sequence[Span]
    # Distinct words of the evidence; none where `gold` is exact.
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    name: str
    documents: Mapping[str, ParsedDocument]
    questions: Sequence[Question]


def load_task(folder: Path) -> Task:
    """Read a folder of the evaluation data by its name. Raises KeyError for a name that is not known."""
    return LOADERS[folder.name](folder)


def _excerpts(folder: Path) -> Task:
    """Texts with the excerpts that answer, by exact offsets."""
    documents = {
        # Newlines stay as they are: offsets count them.
        path.stem: plain_document(path.read_bytes().decode("utf-8"), path.stem)
        for path in sorted((folder / "corpora").glob("*.md"))
    }
    questions = [
        Question(
            text=row["text"],
            document=row["corpus_id"],
            gold=[(reference["start_index"], reference["end_index"]) for reference in row["references"]],
        )
        for row in _rows(folder / "queries.jsonl")
    ]
    return Task(name=folder.name, documents=documents, questions=questions)


def _answers(folder: Path) -> Task:
    """Articles with the answers in them, by exact offsets."""
    documents = {row["_id"]: plain_document(row["text"], row["title"]) for row in _rows(folder / "corpus.jsonl")}
    questions = [
        Question(
            text=row["text"],
            document=row["context_id"],
            gold=[(s, s + len(a)) for s, a in zip(row["answer_start"], row["answers"], strict=True)],
        )
        for row in _rows(folder / "queries.jsonl")
    ]
    return Task(name=folder.name, documents=documents, questions=questions)


def _pages(folder: Path) -> Task:
    """PDF files with the pages that hold the evidence, and its words."""
    documents = _parsed(folder / "pdfs")
    questions = []
    for row in _rows(folder / "queries.jsonl"):
        if row["doc_name"] not in documents:
            continue
        # Pages of the evidence count from 0, ours from 1.
        wanted = {evidence["page"] + 1 for evidence in row["evidence"]}
        gold = [(start, end) for page, start, end in page_spans(documents[row["doc_name"]]) if page in wanted]
        text = " ".join(evidence["text"] for evidence in row["evidence"])
        questions.append(Question(text=row["text"], document=row["doc_name"], gold=gold, words=words_of(text)))
    return Task(name=folder.name, documents=documents, questions=questions)


def _papers(folder: Path) -> Task:
    """PDF files, the one that answers, and the words of a short answer."""
    documents = _parsed(folder / "pdfs")
    questions = []
    for row in _rows(folder / "queries.jsonl"):
        document = documents[Path(row["pdf"]).stem]
        questions.append(
            Question(
                text=row["text"],
                document=Path(row["pdf"]).stem,
                gold=[(0, len(document.text))],
                words=words_of(" ".join(row["answers"])),
            )
        )
    return Task(name=folder.name, documents=documents, questions=questions)


LOADERS: Final[Mapping[str, Callable[[Path], Task]]] = {
    "chunking_eval": _excerpts,
    "covidqa": _answers,
    "financebench": _pages,
    "aragog_pdfs": _papers,
}


def plain_document(text: str, title: str) -> ParsedDocument:
    """Return `text` as our parser of plain text sees it, one element a paragraph, without changing a character."""
    elements = []
    start = 0
    for gap in _BLANK_LINES.finditer(text + "\n\n"):
        first, last = trim(text, start, min(gap.start(), len(text)))
        if first < last:
            elements.append(Element(start=first, end=last, category=Category.TEXT))
        start = gap.end()
    return ParsedDocument(text=text, elements=tuple(elements), media_type="text/plain", title=title)


def words_of(text: str) -> frozenset[str]:
    """Return the distinct words and numbers of a text, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


def _parsed(folder: Path) -> dict[str, ParsedDocument]:
    return {path.stem: parse_file(path, path.name) for path in sorted(folder.glob("*.pdf"))}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
