"""Endings that tell forms of one word apart, taken off by a few rules for each script.

Nobody says in which language a text is written, and a question may be too short to tell, so one set of rules serves all
languages of a script. Both sides go through it, so a stem need not be a word. What they gain is in docs/benchmarks.md.
"""

import re
from functools import lru_cache
from typing import Final

_LATIN: Final = re.compile("[a-z]{4,}")
_CYRILLIC: Final = re.compile("[\u0400-\u04ff]{6,}")
_ARABIC: Final = re.compile("[\u0620-\u064a]{4,}")
# Distinct words kept: all frequent ones of a few languages, in 20 MB.
_CACHED: Final = 1 << 17


def _split(endings: str) -> tuple[str, ...]:
    return tuple(endings.split())


# Case endings of Russian adjectives and nouns, by the shortest word that each is taken from: Savoy's light stemmer
# (Dolamic and Savoy, 2009) with `й` folded to `и`.
_RUSSIAN: Final = (
    (9, ("иями", "оями")),
    (8, _split("иям иях оях ями оям оев ами его ему ери ими ого ому ыми")),
    (7, _split("ая яя ях юю ах ею их ия ию ью ою ую ям ых ея ам ем еи ев ии им ое ои ом ов ые ыи ым ми")),
    (6, tuple("аеиоуыья")),
)
# Article, with and without a preposition, and suffixed pronouns and numbers: Light10 (Larkey, Ballesteros and Connell,
# 2007), with the feminine ending folded.
_ARABIC_PREFIXES: Final = _split("وال بال كال فال لل ال")
_ARABIC_SUFFIXES: Final = _split("ها ان ات ون ين يه ه ي")


@lru_cache(_CACHED)
def stem(word: str) -> str:
    """Return the stem of a folded word. Short words, codes and words of other scripts are their own stems."""
    if _LATIN.fullmatch(word):
        return _latin(word)
    if _CYRILLIC.fullmatch(word):
        return _russian(word)
    if _ARABIC.fullmatch(word):
        return _arabic(word)
    return word


def _latin(word: str) -> str:
    """Plural s (Harman's S stemmer, 1991), then `en` and `e`, with which German and Dutch inflect."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("us", "ss", "aes", "ees", "oes")):
        word = word[:-1]
    if len(word) >= 6:
        return word.removesuffix("en") if word.endswith("en") else word.removesuffix("e")
    return word


def _russian(word: str) -> str:
    for shortest, endings in _RUSSIAN:
        ending = next((ending for ending in endings if word.endswith(ending)), "")
        if ending and len(word) >= shortest:
            word = word.removesuffix(ending)
            break
    if len(word) >= 6:
        word = word.removesuffix("и").removesuffix("ь")
    return word.removesuffix("н") if len(word) >= 6 and word.endswith("нн") else word


def _arabic(word: str) -> str:
    prefix = next((prefix for prefix in _ARABIC_PREFIXES if word.startswith(prefix)), "و")
    if len(word) - len(prefix) >= (2 if prefix != "و" else 3):
        word = word.removeprefix(prefix)
    for suffix in _ARABIC_SUFFIXES:
        if len(word) - len(suffix) >= 2:
            word = word.removesuffix(suffix)
    return word
