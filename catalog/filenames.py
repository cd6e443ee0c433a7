"""File names as people see them. They are data: nothing here or elsewhere opens a path that a name spells."""

import unicodedata
from typing import Final

MAX_CHARS: Final = 255
# Overrides of the reading direction: they make `exe.txt` of `txt.exe`. Letters that run right to left stay.
_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(name: str) -> str:
    """Return `name` without control characters, surrogates, overrides of the reading direction and outer blanks."""
    kept = (c for c in name if unicodedata.category(c) not in {"Cc", "Cs"} and c not in _DIRECTIONS)
    return "".join(kept).strip()
