"""Text leaves as it may: with markers read, links checked, and sentences without support treated as the policy says."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import documents
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import Document
from generation.backends.base import Finished, FinishReason, TextDelta, Usage
from generation.citations import Citation
from generation.claims import Doubt
from generation.markers import MARKER
from generation.packing import Packed
from generation.writing import REFUSAL_TEXT, Outcome, Piece, Unsupported, Writing
from tests.builders import a_passage, a_store, publish_text, sources_of

PUMP = "The red pump is checked every second spring. See https://pumps.example/plan for the plan."
ROOF = "The roof was covered with slate in 1907. Use `tiles[0]` for the first one."
KEEP, FLAG, DROP, REFUSE = Unsupported
POLICIES = list(Unsupported)

GOOD = "The red pump is checked every second spring. [1]"
BAD = "The moon is made of cheese. [2]"
CLEAN, CHEESE = "The red pump is checked every second spring.", "The moon is made of cheese."


class Desk:
    """Two published documents as sources."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        store = a_store(database)
        ids = [publish_text(database, blobs, store, text) for text in (PUMP, ROOF)]
        self.database = database
        self.packed = Packed(
            sources=sources_of([a_passage(t, document_id=i) for t, i in zip((PUMP, ROOF), ids, strict=True)]),
            left_out=[],
            cut={},
        )

    def write(
        self, pieces: Iterable[str], policy: Unsupported = FLAG, *, cites_unmarked: bool = False
    ) -> tuple[Writing, list[Piece]]:
        writing = Writing(self.database, self.packed, unsupported=policy, cites_unmarked=cites_unmarked)
        return writing, list(writing.run(said(pieces)))


def said(pieces: Iterable[str]) -> Iterator[TextDelta | Finished]:
    yield from (TextDelta(text=piece) for piece in pieces)
    yield Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=1, output_tokens=1))


@pytest.fixture
def desk(database: Database, blobs: BlobStore) -> Desk:
    return Desk(database, blobs)


@pytest.mark.parametrize(
    ("policy", "text", "flagged", "outcome"),
    [
        (KEEP, f"{CLEAN} {CHEESE}", [], Outcome.ANSWERED),
        (FLAG, f"{CLEAN} {CHEESE}", [CHEESE], Outcome.ANSWERED),
        (DROP, CLEAN, [], Outcome.ANSWERED),
        (REFUSE, REFUSAL_TEXT, [], Outcome.NOT_IN_DOCUMENTS),
    ],
)
def test_a_sentence_without_support(
    desk: Desk, policy: Unsupported, text: str, flagged: list[str], outcome: Outcome
) -> None:
    """It is kept, flagged, dropped, or turns the answer into a refusal."""
    writing, events = desk.write([GOOD, " ", BAD], policy)
    assert (writing.text, writing.outcome) == (text, outcome)
    assert [writing.text[slice(*span)] for span in writing.unsupported] == flagged
    assert [(event.start, event.end) for event in events if isinstance(event, Doubt)] == writing.unsupported
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert len(writing.citations) == (0 if policy is REFUSE else 1)


def test_a_doubt_leaves_before_the_next_sentence(desk: Desk) -> None:
    """A reader of the stream need not wait for the end of the answer."""
    _, events = desk.write([BAD, " ", GOOD], FLAG)
    kinds = [type(event) for event in events]
    assert kinds.index(Doubt) < kinds.index(Citation)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_answer_with_support_is_the_same_under_every_policy(desk: Desk, policy: Unsupported) -> None:
    """Text, footnotes and their places."""
    writing, _ = desk.write([GOOD, " The roof was covered with slate in 1907 [2]."], policy)
    assert writing.text == f"{CLEAN} The roof was covered with slate in 1907."
    assert [(c.number, c.index) for c in writing.citations] == [(1, 44), (2, 85)]
    assert (writing.unsupported, writing.dropped_sentences, writing.dropped_markers) == ([], 0, [])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_document_that_goes_while_the_answer_is_written_leaves_no_footnote(desk: Desk, policy: Unsupported) -> None:
    """Not of the whole answer: what was given out before is not there any more when it ends."""

    def goes(pieces: Sequence[str]) -> Iterator[str]:
        yield from pieces
        with desk.database.write() as session:
            documents.remove(desk.database, session, Document.id == desk.packed.sources[0].passage.chunk.document_id)

    writing, _ = desk.write(goes([GOOD, " The roof was covered with slate in 1907 [2].", " "]), policy)
    if policy is REFUSE:
        assert (writing.text, writing.citations) == (REFUSAL_TEXT, [])
    else:
        assert [citation.source.number for citation in writing.citations] == [2]
        assert writing.outcome is Outcome.ANSWERED
    assert [writing.text[slice(*span)] for span in writing.unsupported] == ([CLEAN] if policy is FLAG else [])


def test_an_answer_whose_every_document_goes_has_no_support(desk: Desk) -> None:
    """Its words stay without a footnote, and its outcome says so."""

    def goes() -> Iterator[str]:
        yield f"{GOOD} And so on. "
        with desk.database.write() as session:
            documents.remove(desk.database, session, Document.id == desk.packed.sources[0].passage.chunk.document_id)

    writing, events = desk.write(goes(), KEEP)
    assert [event.quote for event in events if isinstance(event, Citation)] == [CLEAN]
    assert (writing.citations, writing.outcome) == ([], Outcome.UNSUPPORTED)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("reason", "text", "outcome"),
    [
        (FinishReason.STOP, REFUSAL_TEXT, Outcome.NOT_IN_DOCUMENTS),
        (FinishReason.LENGTH, "", Outcome.UNSUPPORTED),
        (FinishReason.CANCELLED, "", Outcome.UNSUPPORTED),
    ],
)
def test_an_answer_that_is_cut_before_its_first_word_is_no_refusal(
    desk: Desk, policy: Unsupported, reason: FinishReason, text: str, outcome: Outcome
) -> None:
    """Nobody has said that the documents do not answer."""
    writing = Writing(desk.database, desk.packed, unsupported=policy)
    end = Finished(reason=reason, usage=Usage(input_tokens=1, output_tokens=0))
    assert list(writing.run([TextDelta(text=" "), end])) == ([TextDelta(text=text)] if text else [])
    assert (writing.text.strip(), writing.outcome) == (text, outcome)


ROOF_CLAIM = "The roof was covered with slate in 1907."


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "written", [f"{CLEAN} {ROOF_CLAIM}", f"{CLEAN[:-1]} [2]. {ROOF_CLAIM[:-1]} [1].", f"{CLEAN[:-1]} [9]. {ROOF_CLAIM}"]
)
def test_sentences_without_a_right_number_get_their_source(desk: Desk, policy: Unsupported, written: str) -> None:
    """Where that is wanted: the source that supports each, at the end of the sentence."""
    writing, _ = desk.write([written], policy, cites_unmarked=True)
    assert writing.text == f"{CLEAN} {ROOF_CLAIM}"
    assert {citation.source.number for citation in writing.citations} == {1, 2}
    assert (writing.unsupported, writing.dropped_sentences, writing.outcome) == ([], 0, Outcome.ANSWERED)
    if policy in {KEEP, FLAG}:
        assert [citation.index for citation in writing.citations] == [len(CLEAN), len(writing.text)]


def test_what_no_source_supports_gets_none(desk: Desk) -> None:
    """Whoever looks for footnotes."""
    writing, _ = desk.write([f"{CLEAN} {CHEESE}"], FLAG, cites_unmarked=True)
    assert [writing.text[slice(*span)] for span in writing.unsupported] == [CHEESE]
    assert [citation.index for citation in writing.citations] == [len(CLEAN)]
    refused, _ = desk.write([CHEESE], DROP, cites_unmarked=True)
    assert (refused.text, refused.citations) == (REFUSAL_TEXT, [])


def test_what_is_dropped_takes_its_blanks_and_footnotes_along(desk: Desk) -> None:
    """Of a sentence with two claims one without support drops both; numbers count what was given out."""
    writing, _ = desk.write(
        [f"{BAD} The red pump is checked every second spring [1] by elves in 1800 [1]. {GOOD}"], DROP
    )
    assert writing.text == CLEAN
    assert [(c.number, c.index) for c in writing.citations] == [(1, len(CLEAN))]
    assert writing.dropped_sentences == 2


@pytest.mark.parametrize("policy", [DROP, REFUSE])
def test_nothing_without_support_is_streamed(desk: Desk, policy: Unsupported) -> None:
    """With drop a sentence leaves when it is complete, with refuse all of them at the end."""
    writing = Writing(desk.database, desk.packed, unsupported=policy)
    seen: list[tuple[int, str]] = []
    position = 0

    def pieces() -> Iterator[TextDelta | Finished]:
        nonlocal position
        for character in f"{GOOD} {GOOD} x":
            position += 1
            yield TextDelta(text=character)
        yield Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=1, output_tokens=1))

    for event in writing.run(pieces()):
        if isinstance(event, TextDelta):
            seen.append((position, event.text))
    if policy is DROP:
        assert [text for _, text in seen] == [CLEAN, f" {CLEAN}"]
        assert seen[0][0] < 1.2 * len(GOOD)
    else:
        assert [text for _, text in seen] == [REFUSAL_TEXT]


def test_an_unsupported_answer_that_is_dropped_is_a_refusal(desk: Desk) -> None:
    """Nothing is left to say."""
    writing, _ = desk.write([BAD], DROP)
    assert (writing.text, writing.outcome, writing.citations) == (REFUSAL_TEXT, Outcome.NOT_IN_DOCUMENTS, [])


def test_a_marker_in_the_middle_is_about_its_sentence(desk: Desk) -> None:
    """What stands before it need not say anything by itself."""
    writing, _ = desk.write(["According to [1], the red pump is checked every second spring."])
    assert [(c.source.number, c.index) for c in writing.citations] == [(1, len(writing.text))]
    assert (writing.unsupported, writing.dropped_markers) == ([], [])


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("See https://pumps.example/plan for the plan. [1]", "See https://pumps.example/plan for the plan."),
        ("See https://pumps.example/plan for the plan. [2]", "See (link removed) for the plan."),
        ("See https://pumps.example/plan?x=1 for the plan. [1]", "See (link removed) for the plan."),
        ("See https://pumps.example/pla for the plan. [1]", "See (link removed) for the plan."),
        (f"{GOOD} See [it](https://pumps.example/plan).", f"{CLEAN} See [it](https://pumps.example/plan)."),
        (f"{GOOD} ![it](https://pumps.example/plan)", f"{CLEAN} [it](https://pumps.example/plan)"),
        (f"{GOOD} ![it](https://evil.example/plan)", f"{CLEAN} [it]"),
        ("Use `tiles[0]` for the first one. [2]", "Use `tiles[0]` for the first one."),
        ("Use `tiles[1]` for the first one. [2]", "Use `tiles[…]` for the first one."),
    ],
)
def test_a_link_leaves_only_where_a_cited_source_holds_it(desk: Desk, script: str, text: str) -> None:
    """As a whole: neither a longer nor a shorter one; an image becomes a link; the same for an index in code."""
    for pieces in ([script], list(script)):
        writing, events = desk.write(pieces)
        assert writing.text == text
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text


def test_text_behind_a_link_waits_for_its_claim_alone(desk: Desk) -> None:
    """What stands before the link leaves at once, and so does all when no source has it."""
    writing = Writing(desk.database, desk.packed)
    pieces = iter(["See ", "https://pumps.example/plan ", "and more. ", "[1] ", "End"])
    read: list[str] = []

    def reading() -> Iterator[TextDelta | Finished]:
        for piece in pieces:
            read.append(piece)
            yield TextDelta(text=piece)

    left = [(len(read), event.text) for event in writing.run(reading()) if isinstance(event, TextDelta)]
    assert left[0] == (1, "See")
    assert all(count == 5 for count, _ in left[2:])


PARTS = st.sampled_from(
    [
        CLEAN,
        f"\n\n{CHEESE}\n\n",
        " [1]",
        "[2]",
        "[1, 2]",
        "[9]",
        "[1-3]",
        "【1】",
        " ",
        ".",
        "\n",
        "- ",
        "The roof was covered with slate",
        " in 1907",
        "https://pumps.example/plan",
        "http://evil.example/x",
        "![a](",
        ")",
        "`tiles[0]`",
        "[none]",
        "Yes",
        ",",
    ]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(script=st.lists(PARTS, max_size=10).map("".join), policy=st.sampled_from(POLICIES), data=st.data())
def test_every_footnote_is_true_however_the_text_arrives(
    desk: Desk, script: str, policy: Unsupported, data: st.DataObject
) -> None:
    """Text, footnotes and flags are those of the whole; no marker is left; each citation re-reads to its quote."""
    cuts = data.draw(st.lists(st.integers(0, len(script)), max_size=6).map(sorted))
    whole, _ = desk.write([script], policy)
    cut, events = desk.write([script[a:b] for a, b in pairwise([0, *cuts, len(script)])], policy)
    assert (whole.text, whole.citations, whole.unsupported) == (cut.text, cut.citations, cut.unsupported)
    assert cut.text == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert MARKER.search(cut.text.replace("`tiles[0]`", "")) is None
    assert "evil" not in cut.text
    assert all(0 <= start < end <= len(cut.text) for start, end in cut.unsupported)
    with desk.database.read() as session:
        for citation in cut.citations:
            document = citation.source.passage.chunk.document_id
            assert documents.text_range(session, document, citation.start, citation.end) == citation.quote != ""
            assert citation.index <= len(cut.text)
    if policy in {DROP, REFUSE} and cut.outcome is Outcome.ANSWERED:
        assert CHEESE not in cut.text
