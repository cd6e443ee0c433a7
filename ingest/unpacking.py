"""What is said to the parser of archives: where their files go, and how much there may be."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """What one archive may become, together with all archives in it."""

    # A larger member is refused; the others are unpacked.
    member_bytes: int = 512 * 1024**2
    # An archive that holds more is refused whole.
    total_bytes: int = 2 * 1024**3
    members: int = 10_000
    # Archives in an archive are unpacked too, and archives in those; deeper ones are refused.
    nesting: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacking:
    """Where the files of an archive go. File `i` of `ParsedDocument.members` is `folder / str(i)`.

    The parser makes the folder when there is something to go there.
    """

    folder: Path
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
