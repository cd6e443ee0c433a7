"""From text to terms: the same for every language, without a model."""

import re
import sys
import unicodedata
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Final

from retrieval.stemming import stem

# Of the index terms. An index of another format is made anew.
FORMAT: Final = 2

# Scripts written without spaces: Thai, Lao, Khmer, Myanmar, Japanese, Chinese. They are cut into bigrams.
UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Signs among them are no parts of words: `・`, `။`, `฿`.
_SIGNS: Final = "".join(c for c in map(chr, range(0x0E00, 0x3100)) if unicodedata.category(c)[0] in "PSZC")
_UNSPACED_CHARACTER: Final = f"(?:(?![{re.escape(_SIGNS)}])[{UNSPACED}])"
_UNSPACED_RUN: Final = re.compile(f"{_UNSPACED_CHARACTER}+")
# Accents of alphabetic scripts (U+0300 to U+036F); vowel points of Hebrew and Arabic, which most texts leave out, with
# the hamza and madda that NFD parts from their letters; the Arabic stroke that stretches words; hyphens and joiners
# that nobody sees. Close to what Lucene's ArabicNormalizer and ICUFoldingFilter do.
_DROPPED: Final = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f\u0670\u0640\u00ad\u200c\u200d]")
# Letters that Arabic and Persian keyboards write differently, and the feminine ending that is often left open.
_ARABIC_LETTERS: Final = str.maketrans({"\u0649": "\u064a", "\u06cc": "\u064a", "\u06a9": "\u0643", "\u0629": "\u0647"})


def _ranges(codes: Iterator[int]) -> str:
    """Return the characters as ranges of a character class."""
    runs = (list(run) for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0]))
    return "".join(f"\\U{run[0][1]:08x}-\\U{run[-1][1]:08x}" for run in runs)


# Vowel signs and the like, letters to the readers of Indic scripts: to `re` they are none.
_MARKS: Final = _ranges(c for c in range(0x370, sys.maxunicode) if unicodedata.category(chr(c))[0] == "M")
_PLAIN: Final = rf"[^\W_{UNSPACED}]"
_WORD_CHARACTERS: Final = rf"{_PLAIN}++(?:(?:(?![{UNSPACED}])[{_MARKS}])++{_PLAIN}*+)*+"
# A word, or several joined as in part numbers, versions and addresses: `PX-200/4`, `v2.1.0`, `c++`, `a_b`.
_WORD: Final = re.compile(rf"{_WORD_CHARACTERS}(?:[-_./'+#]+{_WORD_CHARACTERS})*[+#]*|{_UNSPACED_CHARACTER}+")
_JOINT: Final = re.compile(r"[-_./'+#]+")


_LETTER: Final = rf"[^\W\d_{UNSPACED}]"
# Where a word goes on as another one without a sign between: `attemptCrack`, `HTTPServer`, `FY2018`, `10km`.
_SEAM: Final = re.compile(rf"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<={_LETTER})(?=\d)|(?<=\d)(?={_LETTER})")
_PLAIN_WORD: Final = re.compile(f"{_PLAIN}++")
# Single letters and digits, as in `3M` and `v2`, stand everywhere.
_SHORTEST_PART: Final = 2
# Longer words with seams are encoded data, not names.
_LONGEST_COMPOUND: Final = 64


def fold(text: str) -> str:
    """Return `text` in NFKC, case-folded, without accents and optional vowel signs, its Arabic letters unified."""
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isascii():
        return text
    bare = _DROPPED.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", bare).translate(_ARABIC_LETTERS)


def terms(text: str) -> list[str]:
    """Return the words of `text`, folded, in order, repeats included.

    `PX-200/4` gives itself and its parts; a run of Chinese, Japanese or Thai gives its bigrams.
    """
    return list(_terms(fold(text)))


def index_terms(text: str, *, without: Collection[str] = frozenset()) -> list[str]:
    """Return what lexical search knows `text` by: its terms, of words the stems, then the parts of compound words.

    `getUserName` is found by itself and by `user`, `FY2018` by `2018`. `without`: terms that are left out.
    """
    stems = [stem(term) for term in _terms(fold(text)) if term not in without]
    return stems + [stem(fold(part)) for part in _parts(unicodedata.normalize("NFKC", text))]


def _parts(text: str) -> Iterator[str]:
    if not _SEAM.search(text):
        return
    for word in _PLAIN_WORD.findall(text):
        # Most words have no seam, and these questions cost less than the search for one.
        if word.isdigit() or (word.isalpha() and (word.islower() or word.istitle() or word.isupper())):
            continue
        parts = _SEAM.split(word) if len(word) <= _LONGEST_COMPOUND else []
        if len(parts) > 1:
            yield from (part for part in parts if len(part) >= _SHORTEST_PART)


def _terms(folded: str) -> Iterator[str]:
    # The questions in front of the expressions spare most words both of them: 2.6 times as fast on English text.
    for word in _WORD.findall(folded):
        if not word.isascii() and _UNSPACED_RUN.fullmatch(word):
            yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
            continue
        yield word
        parts = [] if word.isalnum() else [part for part in _JOINT.split(word) if part]
        if len(parts) > 1:
            yield from parts
