"""Sentence boundaries by rule, for any language, without a model."""

import re
from collections.abc import Iterator
from typing import Final

# Words whose full stop does not end a sentence, in the languages that our users write most.
_ABBREVIATED: Final = (
    "approx art bzw ca cf chap co corp dr e.g etc evtl fig ggf i.e inc incl jr ltd max min mr mrs ms nr no p pp "
    "prof resp sec sr st tel u.a usw vgl vol vs z.b"
)
_ABBREVIATIONS: Final = frozenset(_ABBREVIATED.split())
# Latin full stops need a blank behind them; full-width ones do not. A blank line ends a sentence anyway.
_END: Final = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n(?=\s*\n)|\n(?=\s*(?:[-*•|]|\d+[.)])\s)")
_LAST_WORD: Final = re.compile(r"([^\s(]+)\.$")


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the ranges of the sentences of `text`, ascending, without the blanks around them.

    Together they hold every character that is no blank.
    """
    return list(_trimmed(text))


def _trimmed(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for end in [*_ends(text), len(text)]:
        sentence = text[start:end]
        if stripped := sentence.strip():
            first = start + len(sentence) - len(sentence.lstrip())
            yield first, first + len(stripped)
        start = end


def _ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if match.group().startswith(".") and _is_abbreviation(text, match):
            continue
        yield match.end()


def _is_abbreviation(text: str, match: re.Match[str]) -> bool:
    word = _LAST_WORD.search(text, max(0, match.start() - 24), match.start() + 1)
    if word is None:
        return False
    stem = word.group(1).lower()
    following = text[match.end() : match.end() + 8].lstrip()
    # `3. Open the valve` numbers a step; a capital letter with a stop is an initial.
    numbers_step = stem.isdigit() and text[: word.start()].rsplit("\n", 1)[-1].strip() == ""
    return stem in _ABBREVIATIONS or (len(stem) == 1 and stem.isalpha()) or numbers_step or following[:1].islower()
