"""From a generator's output to answer text and citations that were re-read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from catalog.database import Database
from generation.backends.base import Finished, FinishReason, TextDelta, Usage
from generation.citations import Citation, cite, reread
from generation.claims import (
    CLOSING_PUNCTUATION,
    Claim,
    Doubt,
    Guarded,
    shown,
    unsupported_sentences,
    with_blanks_before,
    without,
)
from generation.links import urls_in
from generation.packing import Packed
from generation.scanning import Numbers, Part, Scanner
from generation.support import Span, SupportFinder
from retrieval.embedders.base import Embedder
from retrieval.sentences import split_sentences

REFUSAL_TEXT: Final = "These documents do not contain the answer to this question."


# What leaves while an answer is written.
Piece = TextDelta | Citation | Doubt


class Outcome(StrEnum):
    ANSWERED = "answered"
    # The sources do not hold the answer; the text says so.
    NOT_IN_DOCUMENTS = "not_in_documents"
    # No citation held in what the generator wrote; that is nothing when it was cut off before its first word.
    UNSUPPORTED = "unsupported"


class Unsupported(StrEnum):
    """What becomes of a sentence that no cited source supports."""

    # It is given out like any other.
    KEEP = "keep"
    # It is given out, and named beside the text.
    FLAG = "flag"
    # It never leaves: text waits until its sentence and its markers are complete.
    DROP = "drop"
    # The answer becomes a refusal: nothing leaves before its end.
    REFUSE = "refuse"


class Writing:
    """One pass over a generator's output: text and citations so far."""

    def __init__(
        self,
        database: Database,
        packed: Packed,
        *,
        embedder: Embedder | None = None,
        unsupported: Unsupported = Unsupported.FLAG,
        cites_unmarked: bool = False,
    ) -> None:
        """`cites_unmarked`: a sentence that no cited source supports gets a footnote to the first source that does."""
        self._database = database
        self._cites_unmarked = cites_unmarked
        self._sources = {source.number: source for source in packed.sources}
        self._links = {source.number: frozenset(urls_in(source.text)) for source in packed.sources}
        self._locate = SupportFinder(embedder).locate
        self._policy = unsupported
        self._waits_for_sentences = unsupported in {Unsupported.DROP, Unsupported.REFUSE}
        # Numbers of the footnotes, by document and range.
        self._numbers: dict[tuple[int, int, int], int] = {}
        # The claim that is being read: its parts, how many of them were given out, and its markers.
        self._parts: list[str | Guarded] = []
        self._given_out = 0
        self._marked: list[int] = []
        # Claims of the sentence that is being read; where it begins in the text.
        self._claims: list[Claim] = []
        self._begins = 0
        # Sources that a citation which held is of.
        self._cited: set[int] = set()
        self._has_written = False
        self.text = ""
        self.citations: list[Citation] = []
        # Source numbers that the generator wrote and that no longer stand: forged, or without support.
        self.dropped_markers: list[int] = []
        # Sentences of the text without support, as ranges of it, where they are flagged; else how many were left out.
        self.unsupported: list[Span] = []
        self.dropped_sentences = 0
        self.outcome = Outcome.ANSWERED
        self.finished = Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=0, output_tokens=0))

    def run(self, pieces: Iterable[TextDelta | Finished]) -> Iterator[Piece]:
        if self._policy is not Unsupported.REFUSE:
            yield from self._write(pieces)
            self._reread()
        else:
            events = list(self._write(pieces))
            if self.dropped_sentences or self._reread():
                self.text, self.citations = "", []
            else:
                yield from events
        # Cut off before its first word: nobody has said that the documents do not answer.
        is_cut = not self._has_written and self.finished.reason is not FinishReason.STOP
        if not self.text.strip() and not is_cut:
            self.outcome = Outcome.NOT_IN_DOCUMENTS
            self.text = REFUSAL_TEXT
            yield TextDelta(text=REFUSAL_TEXT)
        elif not self.citations:
            self.outcome = Outcome.UNSUPPORTED

    def _reread(self) -> bool:
        """Forget the footnotes whose document went while the answer was written; return whether there were any.

        A sentence that has none left is without support.
        """
        held = self._holding(self.citations)
        gone = [citation.index for citation in self.citations if citation not in held]
        self.citations = held
        if self._policy is Unsupported.FLAG and gone:
            places = [citation.index for citation in held]
            spans = [
                (start, end)
                for start, end in split_sentences(self.text)
                if any(start < index <= end for index in gone) and not any(start < index <= end for index in places)
            ]
            self.unsupported = sorted({*self.unsupported, *spans})
        return bool(gone)

    def _write(self, pieces: Iterable[TextDelta | Finished]) -> Iterator[Piece]:
        scanner = Scanner()
        for piece in pieces:
            if isinstance(piece, Finished):
                self.finished = piece
            else:
                self._has_written |= bool(piece.text.strip())
                yield from self._take(scanner.feed(piece.text))
        yield from self._take(scanner.finish())
        yield from self._end_claim()
        yield from self._end_sentence()

    def _take(self, parts: Iterable[Part]) -> Iterator[Piece]:
        for part in parts:
            if isinstance(part, Numbers):
                self._marked += part.numbers
            elif self._marked and isinstance(part, str) and (closing := CLOSING_PUNCTUATION.match(part)):
                yield from self._say(closing.group())
                if rest := part[closing.end() :]:
                    yield from self._end_claim()
                    yield from self._say(rest)
            else:
                if self._marked:
                    yield from self._end_claim()
                yield from self._say(part)

    def _say(self, part: str | Guarded) -> Iterator[TextDelta]:
        """Add to the claim; give it out unless something before it waits for the claim's end."""
        if not isinstance(part, str):
            possible = shown(part, self._texts_of(self._sources))
            # Some source holds it; whether a cited one does is known at the claim's end.
            part = part if possible == part.text else possible
        self._parts.append(part)
        if isinstance(part, str) and not self._waits_for_sentences and self._given_out == len(self._parts) - 1:
            self._given_out += 1
            yield from self._give_out(part)

    def _end_claim(self) -> Iterator[Piece]:
        if not self._parts and not self._marked:
            return
        written = "".join(part if isinstance(part, str) else part.text for part in self._parts)
        wanted = list(dict.fromkeys(self._marked))
        citations = self._cite(written, wanted)
        cited = {citation.source.number for citation in citations}
        self._cited |= cited
        texts = [shown(part, self._texts_of(self._cited)) for part in self._parts]
        waiting = "".join(texts[self._given_out :])
        self._parts, self._given_out, self._marked = [], 0, []
        claim = Claim(text="".join(texts), citations=citations, rejected=[n for n in wanted if n not in cited])
        if claim.begins_line:
            yield from self._end_sentence()
        self._claims.append(claim)
        if not self._waits_for_sentences:
            yield from self._give_out(waiting)
            yield from self._give_footnotes(citations)
        if claim.ends_sentence:
            yield from self._end_sentence()

    def _end_sentence(self) -> Iterator[Piece]:
        """Judge the sentences that the claims so far make up; what waited for that is given out."""
        claims, self._claims = self._claims, []
        text = "".join(claim.text for claim in claims)
        rejected = [number for claim in claims for number in claim.rejected]
        # "According to [1], the pump is red": the marker is about the sentence, not about what stands before it.
        late = self._cite(text, rejected) if len(claims) > 1 else []
        self.dropped_markers += [n for n in rejected if n not in {citation.source.number for citation in late}]
        claims.append(Claim(text="", citations=late, rejected=()))
        is_judged = self._cites_unmarked or self._policy is not Unsupported.KEEP
        spans = unsupported_sentences(claims, self._locate) if is_judged else []
        found = self._found(text, spans) if self._cites_unmarked else {}
        spans = [] if self._policy is Unsupported.KEEP else [span for span in spans if span not in found]
        if self._waits_for_sentences:
            self.dropped_sentences += len(spans)
            yield from self._give_held(claims, with_blanks_before(spans, text))
            yield from self._give_footnotes(found.values())
        else:
            yield from self._give_footnotes(late)
            for (_, end), citation in found.items():
                yield from self._give_footnotes([citation], index=self._begins + end)
            for start, end in spans:
                self.unsupported.append((self._begins + start, self._begins + end))
                yield Doubt(start=self._begins + start, end=self._begins + end)
            self._begins += len(text)

    def _found(self, text: str, spans: Iterable[Span]) -> dict[Span, Citation]:
        """Return those of the sentences that some source supports, with the first that does."""
        firsts = {span: next(iter(self._cite(text[slice(*span)], self._sources)), None) for span in spans}
        return {span: citation for span, citation in firsts.items() if citation is not None}

    def _give_held(self, claims: Sequence[Claim], dropped: Sequence[Span]) -> Iterator[Piece]:
        """Give out what waited, without the dropped ranges of the claims' joined text and without their citations."""
        text, position = "".join(claim.text for claim in claims), 0
        for claim in claims:
            kept = without(claim.text, position, dropped)
            yield from self._give_out(kept if self.text else kept.lstrip())
            position += len(claim.text)
            last = len(text[:position].rstrip())
            if not any(start < last <= end for start, end in dropped):
                yield from self._give_footnotes(claim.citations)

    def _give_out(self, text: str) -> Iterator[TextDelta]:
        if text:
            self.text += text
            yield TextDelta(text=text)

    def _give_footnotes(self, citations: Iterable[Citation], *, index: int | None = None) -> Iterator[Citation]:
        """Give out citations, which stand behind the text so far, or at `index` of it."""
        for citation in citations:
            number = self._numbers.setdefault(citation.place, len(self._numbers) + 1)
            self.citations.append(replace(citation, index=len(self.text) if index is None else index, number=number))
            yield self.citations[-1]

    def _cite(self, claim: str, wanted: Iterable[int]) -> list[Citation]:
        return self._holding(cite(claim, wanted, self._sources, self._locate))

    def _texts_of(self, numbers: Iterable[int]) -> list[tuple[str, frozenset[str]]]:
        """Return text and links of some sources."""
        return [(self._sources[number].text, self._links[number]) for number in numbers]

    def _holding(self, citations: list[Citation]) -> list[Citation]:
        if not citations:
            return []
        with self._database.read() as session:
            return reread(session, citations)
