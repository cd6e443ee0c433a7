"""Identifiers in OpenAI's form: a prefix that names the kind, then randomness."""

import secrets
from typing import Final

FILE: Final = "file-"
VECTOR_STORE: Final = "vs_"
RESPONSE: Final = "resp_"
MESSAGE: Final = "msg_"
CONVERSATION: Final = "conv_"
CHAT_COMPLETION: Final = "chatcmpl-"
FILE_SEARCH_CALL: Final = "fs_"
FILE_BATCH: Final = "vsfb_"
UPLOAD: Final = "upload_"
UPLOAD_PART: Final = "part_"
API_KEY: Final = "key_"

# 96 random bits: a collision among 10^9 objects has a chance below 10^-11.
_RANDOM_BYTES = 12


def new_id(prefix: str) -> str:
    """Return a fresh identifier, for example `vs_6f1c…` for the prefix `vs_`."""
    return prefix + secrets.token_hex(_RANDOM_BYTES)


def new_document_number() -> int:
    """Return a fresh number for a document: 53 random bits, which JSON and JavaScript hold exactly."""
    return secrets.randbits(53)


def chunk_id(number: int) -> str:
    """Return the public name of the chunk with this catalog number."""
    return f"chunk_{number}"
