"""Words without content of their own: questions are made of them, and answers are not found by them."""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from retrieval.analysis import fold

# So many different function words of a language tell that a question is asked in it; one may be a word with content
# of another language, as `die`, `war`, `door` and `son` are.
_FEWEST: Final = 2


@cache
def function_words() -> frozenset[str]:
    """Return those of all languages in function_words.txt, folded."""
    return frozenset().union(*_by_language().values())


def function_words_among(terms: Collection[str]) -> frozenset[str]:
    """Return which of a question's terms are function words of its language; none when that cannot be told.

    None either when nothing with content in some language would be left: `to be or not to be`.
    """
    wanted = frozenset(terms)
    found = max((words & wanted for words in _by_language().values()), key=len)
    return found if len(found) >= _FEWEST and not wanted <= function_words() else frozenset()


@cache
def _by_language() -> Mapping[str, frozenset[str]]:
    """Return the words of each language; the first one comes first when a question could be of two."""
    languages: dict[str, set[str]] = {}
    for line in files("retrieval").joinpath("function_words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            words = languages.setdefault(line.removeprefix("## "), set())
        elif not line.startswith("#"):
            words.update(fold(line).split())
    return {language: frozenset(words) for language, words in languages.items()}
