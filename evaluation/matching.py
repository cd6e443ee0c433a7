"""Comparing words: an answer with the accepted ones, a quote with the gold quote. Pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

# Scripts written without spaces (Thai to Khmer, kana, Han), of which each character is a token.
_UNSPACED: Final = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)
_ARTICLES: Final = frozenset({"a", "an", "the"})
# Share of the shorter of two quotes that has to stand in the other, in one piece, for the two to overlap.
_MIN_OVERLAP: Final = 0.5


def answer_tokens(text: str) -> list[str]:
    """Return the tokens that an answer is compared by.

    SQuAD's normalisation (Rajpurkar et al., 2016, `evaluate-v2.0.py`): lower case, without punctuation and English
    articles. Beyond it: NFKC, the punctuation of all languages, and characters as the tokens of scripts without spaces
    (as in MLQA; Lewis et al., 2020).
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join("" if _is_punctuation(c) else c for c in folded)
    return [token for token in _UNSPACED.sub(r" \1 ", words).split() if token not in _ARTICLES]


def exact_match(answer: str, accepted: Sequence[str]) -> float:
    """Return 1 when the answer is one of the accepted ones, normalised; else 0."""
    tokens = answer_tokens(answer)
    return float(any(tokens == answer_tokens(one) for one in accepted))


def f1(answer: str, accepted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of the answer's tokens, for the accepted answer that fits best.

    Tokens count as often as they occur. Where one side has no token, it is 1 if the other has none either, else 0.
    """
    return max((_f1(answer_tokens(answer), answer_tokens(one)) for one in accepted), default=0.0)


def contains_answer(text: str, accepted: Sequence[str]) -> bool:
    """Whether the tokens of an accepted answer stand in `text`, in one piece."""
    tokens = answer_tokens(text)
    return any(_contains(tokens, answer_tokens(one)) for one in accepted)


def holds(text: str, words: str | None) -> bool:
    """Whether `words` stand in `text`, not inside of longer words.

    White space, case, and the bars of Markdown tables do not count.
    """
    wanted = re.escape(" ".join(_plain_words(words or "")))
    return bool(wanted) and re.search(rf"(?<!\w){wanted}(?!\w)", " ".join(_plain_words(text))) is not None


def overlaps(one: str, other: str) -> bool:
    """Whether at least half of the shorter quote stands in the other one, word for word and in one piece."""
    these, those = _plain_words(one), _plain_words(other)
    if not these or not those:
        return False
    common = SequenceMatcher(a=these, b=those, autojunk=False).find_longest_match().size
    return common >= _MIN_OVERLAP * min(len(these), len(those))


def _is_punctuation(character: str) -> bool:
    # SQuAD drops Python's `string.punctuation`, of which `$+<=>^|~` and the backtick are symbols in Unicode.
    return unicodedata.category(character).startswith("P") or character in "$+<=>^`|~"


def _f1(tokens: Sequence[str], wanted: Sequence[str]) -> float:
    if not tokens or not wanted:
        return float(tokens == wanted)
    common = (Counter(tokens) & Counter(wanted)).total()
    # 2PR / (P + R) with P = common / tokens and R = common / wanted.
    return 2 * common / (len(tokens) + len(wanted))


def _contains(tokens: Sequence[str], wanted: Sequence[str]) -> bool:
    width = len(wanted)
    return width > 0 and any(list(tokens[i : i + width]) == list(wanted) for i in range(len(tokens) - width + 1))


def _plain_words(text: str) -> list[str]:
    cells = unicodedata.normalize("NFKC", text).casefold().replace("|", " ")
    words = (_UNSPACED.sub(r" \1 ", part) for part in cells.split() if set(part) != {"-"})
    return " ".join(words).split()
