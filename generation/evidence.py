"""What a question asks for by its words: content words, and the identifiers that an answer must be about."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from retrieval.analysis import fold, terms
from retrieval.function_words import function_words

# `DP-150`, `E41`, `K12`, `4.3.1`: letters and digits mixed, or digits with joints.
_CODE: Final = re.compile(r"\b(?=\w*[-./]?\w*\d)(?=\S*[^\W\d_]|\d+\.\d+\.)\w+(?:[-./]\w+)*")
# `Rime 20`: a name and its number. A word at the beginning of a sentence is no name for being capitalised.
_NUMBERED_NAME: Final = re.compile(r"(?<=[^.?!:] )([^\W\d_a-zà-ÿ][^\W\d_]+ \d+)\b")


def content_terms(question: str, *, or_all: bool = True) -> list[str]:
    """Return the terms that carry the question's content, each once; with `or_all`, all when nothing else is left."""
    found = list(dict.fromkeys(terms(question)))
    content = [term for term in found if term not in function_words()]
    return content or (found if or_all else [])


def identifiers(question: str) -> list[str]:
    """Return what the question names exactly, folded: `dp-150`, `e41`, `rime 20`.

    A passage about another model, code or version does not answer it, however similar it reads.
    """
    found = [match.group() for match in _CODE.finditer(question)]
    found += [match.group(1) for match in _NUMBERED_NAME.finditer(question)]
    return list(dict.fromkeys(fold(name) for name in found))


def names_all(text: str, wanted: Collection[str]) -> bool:
    """Whether `text` names every identifier of `wanted`; blanks and hyphens between their parts are the same."""
    if not wanted:
        return True
    joined = f" {' '.join(_parts(text))} "
    return all(f" {' '.join(_parts(name))} " in joined for name in wanted)


def coverage(wanted: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return for each text the share (0 to 1) of the wanted terms that it holds, rare ones counting more.

    Rarity is taken among `texts` themselves, a term that they all hold (a column's name, the title of the one
    document that they come from) counting least: log(1 + (n + 1) / (1 + holders)).
    """
    bags = [set(wanted).intersection(terms(text)) for text in texts]
    holders = Counter(term for bag in bags for term in bag)
    weight = {term: math.log(1 + (len(texts) + 1) / (1 + holders[term])) for term in wanted}
    total = sum(weight.values())
    return [sum(weight[term] for term in bag) / total if total else 0.0 for bag in bags]


def _parts(text: str) -> list[str]:
    return re.findall(r"\w+(?:\.\w+)*", fold(text))
