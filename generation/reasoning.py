"""Keeping a model's thinking out of its answer."""

from collections.abc import Iterator

from generation.backends.base import Finished, TextDelta


class Reasoning:
    """What a generator wrote in front of a mark; only what stands behind it is the answer.

    Nothing is given out before the mark has come: a model that never writes it has not answered.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self.text = ""

    def answer(self, pieces: Iterator[TextDelta | Finished]) -> Iterator[TextDelta | Finished]:
        """Yield the pieces behind the first mark and the blanks that follow it, and what is no text."""
        is_behind = has_begun = False
        for piece in pieces:
            if isinstance(piece, Finished) or has_begun:
                yield piece
                continue
            if is_behind:
                if rest := piece.text.lstrip():
                    has_begun = True
                    yield TextDelta(text=rest)
                continue
            # Enough of what came before to find a mark that is spread over several pieces.
            start = max(0, len(self.text) - len(self._mark) + 1)
            self.text += piece.text
            place = self.text.find(self._mark, start)
            if place >= 0:
                is_behind = True
                rest = self.text[place + len(self._mark) :].lstrip()
                self.text = self.text[:place].rstrip()
                if rest:
                    has_begun = True
                    yield TextDelta(text=rest)
