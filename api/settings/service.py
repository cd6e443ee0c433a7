"""Where the service listens, where it keeps what it has, and what it accepts."""

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from api.settings.types import AbsolutePath


class ServiceSettings(BaseModel):
    """Address, state and log."""

    home: AbsolutePath = Field(Path(".footnote"), description="Folder that holds all state of the embedded mode.")
    host: str = Field("127.0.0.1", description="Address to listen on. Other than loopback needs an API key.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line shown.")

    database_url: str | None = Field(
        None, description="Catalog: sqlite:///PATH or postgresql+psycopg://…; none is SQLite in `home`."
    )
    blob_url: str | None = Field(
        None, description="Bytes of uploaded files: file:///PATH or s3://BUCKET/PREFIX; none is a folder in `home`."
    )

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'catalog.sqlite'}"

    @property
    def resolved_blob_url(self) -> str:
        return self.blob_url or (self.home / "blobs").as_uri()


class LimitSettings(BaseModel):
    """What a client may ask for."""

    max_queued_files: int = Field(
        100_000, gt=0, description="Files that may wait to be processed; more are refused with 429 until there is room."
    )
    max_file_bytes: int = Field(512 * 1024**2, gt=0, description="Largest file that an upload or an archive may bring.")
    max_unpacked_bytes: int = Field(
        2 * 1024**3, gt=0, description="What an archive may unpack to, with all archives in it."
    )
    max_json_bytes: int = Field(10 * 1024**2, gt=0, description="Largest body of any other request.")
    requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests that a key may send in a minute, where it has no limit of its own; 0 is any.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="What `GET /metrics` asks for as a bearer token; none answers only while there are no API keys.",
    )
    max_question_chars: int = Field(16_000, gt=0, description="Longest question or search query, in characters.")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # Some other name.
