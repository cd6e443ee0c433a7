"""What the endpoints for files and for uploads in parts share."""

from typing import Annotated, Literal

from pydantic import Field

from api.wire.common import WireModel
from catalog import filenames
from catalog.errors import InvalidRequest

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
LifetimeSeconds = Annotated[int, Field(ge=3600, le=2_592_000)]


class FileExpiration(WireModel):
    anchor: Literal["created_at"]
    seconds: LifetimeSeconds


class CreateUpload(WireModel):
    filename: str
    purpose: Purpose
    bytes: Annotated[int, Field(ge=1, lt=1 << 53)]
    # What a file is, is read from its bytes.
    mime_type: str
    expires_after: FileExpiration | None = None


class CompleteUpload(WireModel):
    part_ids: Annotated[list[str], Field(min_length=1)]
    md5: Annotated[str, Field(pattern="^[0-9A-Fa-f]{32}$")] | None = None


def clean_filename(name: str, *, param: str) -> str:
    """Return the name without control characters and overrides of the reading direction.

    It is shown to people and never used as a path.
    Raises InvalidRequest when nothing is left, or too much.
    """
    name = filenames.visible(name)
    if not name or len(name) > filenames.MAX_CHARS:
        raise InvalidRequest(
            f"The file name has {len(name)} characters; it needs 1 to {filenames.MAX_CHARS}.", param=param
        )
    return name
