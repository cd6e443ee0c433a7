"""Text from tokens that come one after the other."""

from collections.abc import Callable, Sequence
from typing import Final

# What a decoder writes for bytes that are no character, such as the first ones of a longer character.
_UNKNOWN: Final = "\ufffd"


class Detokenizer:
    """Turns tokens into pieces of text that join to what all of them decode to, and never splits a character.

    A token's text may depend on its neighbours, so each piece is the difference between two decodings of the last few
    tokens, and one that ends in an unfinished character is held back until the next token.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        # Tokens before it are not looked at any more; those before the second are in the text already.
        self._context = 0
        self._done = 0

    def feed(self, tokens: Sequence[int]) -> str:
        """Return the text that is certain now, "" when none is."""
        self._tokens += tokens
        text = self._text()
        if not text or text.endswith(_UNKNOWN):
            return ""
        self._context, self._done = self._done, len(self._tokens)
        return text

    def finish(self) -> str:
        """Return what was held back, without an unfinished character."""
        return self._text().rstrip(_UNKNOWN)

    def _text(self) -> str:
        known = self._decode(self._tokens[self._context : self._done])
        return self._decode(self._tokens[self._context :])[len(known) :]
