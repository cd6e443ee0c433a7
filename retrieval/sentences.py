"""Sentence boundaries by rule, for any language, without a model."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

# Words whose full stop does not end a sentence, in the languages that our users write most.
_ABBREVIATED: Final = (
    "approx art bzw ca cf chap co corp dr e.g etc evtl fig ggf i.e inc incl jr ltd max min mr mrs ms nr no p pp "
    "prof resp sec sr st tel u.a usw vgl vol vs z.b"
)
_ABBREVIATIONS: Final = frozenset(_ABBREVIATED.split())
# Latin full stops need a blank behind them; full-width ones do not. A blank line ends a sentence anyway.
# Linear in the length of the text, runs of stops and of blank lines included: it also reads what nobody has checked.
_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[。！？｡]+[」』”’）]*|\n(?=[^\S\n]*+\n)|\n(?=\s*+(?:[-*•|]|\d++[.)])\s)"
)
_LAST_WORD: Final = re.compile(r"([^\s(]+)\.$")


# A number with a full stop is a step when nothing stands before it in its line, for as far back as this.
_INDENTATION: Final = 32


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the ranges of the sentences of `text`, ascending, without the blanks around them.

    Together they hold every character that is no blank.
    """
    return list(iterate_sentences(text, 0, len(text)))


def iterate_sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the sentences of text[start:end] as ranges of `text`, one at a time, without a copy of the text."""
    first = start
    for last in chain(_ends(text, start, end), [end]):
        sentence = trim(text, first, last)
        if sentence[0] < sentence[1]:
            yield sentence
        first = last


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the range without the blanks at its ends; an empty one where there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _ends(text: str, start: int, end: int) -> Iterator[int]:
    for match in _END.finditer(text, start, end):
        if text[match.start()] == "." and _is_abbreviation(text, start, end, match):
            continue
        yield match.end()


def _is_abbreviation(text: str, start: int, end: int, match: re.Match[str]) -> bool:
    word = _LAST_WORD.search(text, max(start, match.start() - 24), match.start() + 1)
    if word is None:
        return False
    stem = word.group(1).lower()
    following = text[match.end() : min(match.end() + 8, end)].lstrip()
    # `3. Open the valve` numbers a step; a capital letter with a stop is an initial.
    before = text[max(start, word.start() - _INDENTATION) : word.start()]
    numbers_step = stem.isdigit() and before.rsplit("\n", 1)[-1].strip() == ""
    return stem in _ABBREVIATIONS or (len(stem) == 1 and stem.isalpha()) or numbers_step or following[:1].islower()
