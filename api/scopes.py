"""Which scope a request needs. A path that is not listed here is not served."""

import re
from collections.abc import Iterable
from typing import Final

from catalog.keys import KeyScope

_ASK, _READ, _WRITE, _MINT = KeyScope.ASK, KeyScope.READ, KeyScope.WRITE, KeyScope.MINT
_LOOKING: Final = frozenset({"GET", "HEAD"})


def _compiled(rules: Iterable[tuple[str, KeyScope, KeyScope]]) -> list[tuple[re.Pattern[str], KeyScope, KeyScope]]:
    return [
        (re.compile(re.escape(path).replace(r"\{\}", "[^/]+").replace(r"/\*", "(/.*)?")), looking, changing)
        for path, looking, changing in rules
    ]


# The first match decides: a path, the scope that looking at it needs, and the one for every other method. `{}` stands
# for one part of the path, `/*` for any number of them.
_RULES: Final = _compiled(
    (
        ("/v1/vector_stores/{}/search", _ASK, _ASK),
        ("/v1/vector_stores/{}/files/{}/content", _ASK, _WRITE),
        ("/v1/vector_stores/{}/files/{}/text", _ASK, _WRITE),
        ("/v1/vector_stores/*", _READ, _WRITE),
        ("/v1/files/*", _READ, _WRITE),
        ("/v1/uploads/*", _READ, _WRITE),
        ("/v1/responses/*", _ASK, _ASK),
        ("/v1/conversations/*", _ASK, _ASK),
        ("/v1/chat/completions", _ASK, _ASK),
        ("/v1/models/*", _ASK, _WRITE),
        ("/v1/embeddings", _READ, _READ),
        ("/v1/tokens", _MINT, _MINT),
    )
)
# What creates something that a repetition would create again. A search or a chat leaves nothing behind, and the reply
# that holds a token is not to be kept.
_CREATING: Final = re.compile(r"/v1/(?:files|uploads|vector_stores|responses|conversations)(?:/.*)?")
_LEAVING_NOTHING: Final = re.compile(r"/v1/vector_stores/[^/]+/search|/v1/responses/input_tokens")


def needed(method: str, path: str) -> KeyScope | None:
    """Return the scope that a request needs; None where nothing is served."""
    for pattern, looking, changing in _RULES:
        if pattern.fullmatch(path):
            return looking if method in _LOOKING else changing
    return None


def creates(method: str, path: str) -> bool:
    """True for a request that an Idempotency-Key can keep from being carried out twice."""
    return method == "POST" and bool(_CREATING.fullmatch(path)) and not _LEAVING_NOTHING.fullmatch(path)
