"""How documents are read."""

from pydantic import BaseModel, Field, field_validator

from api.settings.types import CommaSeparated
from catalog.errors import ConfigurationError
from ingest.documents import MAX_TEXT_CHARS
from ingest.sources.allowed_hosts import AllowedHosts


class IngestionSettings(BaseModel):
    """Workers, the parser's limits, and what may be fetched."""

    workers: int = Field(1, ge=0, le=64, description="Worker processes that `footnote serve` starts.")
    worker_niceness: int = Field(
        10,
        ge=0,
        le=19,
        description="How far workers give way to the API and other processes: 0 not at all; with 10 a tenth of a busy "
        "processor is theirs, with 19 next to nothing.",
    )
    lease_s: float = Field(
        30.0, gt=0, description="Seconds after which the work of a process that fell silent is given to another."
    )
    parse_timeout_s: float = Field(300.0, gt=0, description="Wall clock that the parser may take for one file.")
    parse_memory_bytes: int = Field(4 * 1024**3, gt=0, description="Memory that the parser may take for one file.")
    max_text_chars: int = Field(
        MAX_TEXT_CHARS, gt=0, description="Characters of one file that are read; a longer text is cut, with a warning."
    )
    ocr_languages: CommaSeparated = Field(
        ("eng",),
        description="What scans are read in, in Tesseract's names with commas in between; the missing ones are named.",
    )

    http_allowed_hosts: CommaSeparated = Field(
        (),
        description="Hosts that `footnote sync` may read from, with commas in between: HOST or HOST:PORT, and "
        "=NETWORK behind one that lies in a private network. docs/sync.md tells more.",
    )
    http_pause_s: float = Field(0.2, ge=0, description="Seconds between two requests of `footnote sync` to a web site.")

    @field_validator("http_allowed_hosts", mode="after")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            AllowedHosts(hosts)
        except ConfigurationError as error:
            raise ValueError(error.message) from error
        return hosts
