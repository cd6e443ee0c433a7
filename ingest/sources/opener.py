"""From what an operator writes to a source."""

from collections.abc import Sequence
from pathlib import Path

from catalog.errors import ConfigurationError, InvalidRequest
from ingest.sources.allowed_hosts import AllowedHosts
from ingest.sources.base import Source
from ingest.sources.http import CrawlLimits, HttpSource
from ingest.sources.local import LocalSource
from ingest.sources.patterns import Patterns


def open_source(
    location: str,
    *,
    patterns: Patterns,
    state: Path,
    allowed_hosts: Sequence[str],
    limits: CrawlLimits,
) -> Source:
    """Return the source at `location`: a folder, `s3://BUCKET/PREFIX`, or a URL of the web.

    `state` is Footnote's own folder, which no source holds documents in. Raises InvalidRequest, ConfigurationError.
    """
    scheme, separator, _ = location.partition("://")
    match scheme.lower() if separator else "":
        case "":
            return LocalSource(Path(location).expanduser(), patterns=patterns, state=state)
        case "s3":
            try:
                from ingest.sources.s3 import S3Source

                return S3Source(location, patterns=patterns)
            except ImportError as error:
                raise ConfigurationError(f"{location!r} needs a package: pip install 'footnote[cluster]'") from error
        case "http" | "https":
            return HttpSource(location, allowed=AllowedHosts(allowed_hosts), limits=limits, patterns=patterns)
        case _:
            raise InvalidRequest(f"{location!r} is no source; known are a folder, s3://…, https://… and http://…")
