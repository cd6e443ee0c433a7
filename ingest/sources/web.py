"""Fetching from the web as a guest does: slowly, with limits, and with the owner's leave."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO, Final

import httpx
from protego import Protego

from catalog.errors import FootnoteError
from ingest.sources.guarded_http import USER_AGENT

_MAX_REDIRECTS: Final = 5
# For one document, so that a server which sends a byte now and then holds up nobody.
_DEADLINE_S: Final = 600.0
# Larger bodies go from memory to a file.
_IN_MEMORY_BYTES: Final = 1 << 20
# RFC 9309: at least so much has to be read.
_MAX_ROBOTS_BYTES: Final = 500 * 1024
# Longer waits that a site asks for are not kept: the rest of the crawl would take days.
_MAX_DELAY_S: Final = 60.0
_MISSING: Final = range(400, 500)


class FetchFailed(FootnoteError):
    """A web server did not answer, or not with a document."""


class NotWelcome(FootnoteError):
    """The owner of a web site does not want this document to be fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The answer for a document."""

    # Where it was found, after all redirects.
    url: httpx.URL
    status: int
    # Lower case, without parameters; "" when the server does not say.
    content_type: str
    charset: str | None
    disposition: str | None
    # Names these bytes; None when the server gives nothing that does.
    version: str | None
    # At the beginning, to be closed; empty unless the status is 200 and the body was wanted.
    body: IO[bytes]
    # False: the body is larger than allowed, and `body` of no use.
    is_whole: bool


class Fetcher:
    """Fetches one document after the other, with a pause in between."""

    def __init__(self, client: httpx.Client, *, max_bytes: int, pause_s: float) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._pause_s = pause_s
        self._next_at = 0.0
        self._robots: dict[str, Protego] = {}

    def get(
        self,
        url: httpx.URL,
        *,
        version_at: Callable[[httpx.URL], str | None] = lambda _: None,
        wants: Callable[[httpx.URL, str], bool] = lambda *_: True,
        is_robots: bool = False,
    ) -> Reply:
        """Fetch a document, along redirects to allowed hosts.

        `version_at` names the version of a URL that the caller has: unless there is another one, the status is 304.
        `wants` tells, from URL and content type, whether the body is to be read. Raises FetchFailed, NotWelcome where
        robots.txt forbids it, and HostRefused for a redirect to a host that is not allowed.
        """
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                if not is_robots and not self._rules(url).can_fetch(str(url), USER_AGENT):
                    raise NotWelcome(f"robots.txt of {url.host} does not allow it")
                self._wait(url)
                conditions = _conditions(version_at(url))
                with self._client.stream("GET", url, headers=conditions) as response:
                    if response.status_code == httpx.codes.NOT_MODIFIED and not conditions:
                        raise FetchFailed("It answers that nothing has changed, without having been asked.")
                    if not response.has_redirect_location:
                        return self._reply(url, response, wants)
                    target = url.join(response.headers["location"]).copy_with(fragment=None)
                if url.scheme == "https" and target.scheme != "https":
                    raise FetchFailed(f"It redirects to {target}, which is not encrypted.")
                url = target
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise FetchFailed(f"{type(error).__name__}: {error}") from error
        raise FetchFailed(f"It redirects more than {_MAX_REDIRECTS} times.")

    def _reply(self, url: httpx.URL, response: httpx.Response, wants: Callable[[httpx.URL, str], bool]) -> Reply:
        content_type, charset = _content_type(response)
        is_wanted = response.status_code == httpx.codes.OK and wants(url, content_type)
        with ExitStack() as on_error:
            body: IO[bytes] = on_error.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
            is_whole = self._read(response, body) if is_wanted else True
            on_error.pop_all()
        return Reply(
            url=url,
            status=response.status_code,
            content_type=content_type,
            charset=charset,
            disposition=response.headers.get("content-disposition"),
            version=_version(response, content_type),
            body=body,
            is_whole=is_whole,
        )

    def _read(self, response: httpx.Response, body: IO[bytes]) -> bool:
        """Write the body to `body`; return whether it is whole, not larger than allowed."""
        deadline, size = time.monotonic() + _DEADLINE_S, 0
        for data in response.iter_bytes():
            size += len(data)
            if size > self._max_bytes:
                return False
            if time.monotonic() > deadline:
                raise FetchFailed(f"It took longer than {_DEADLINE_S:.0f} s to arrive.")
            body.write(data)
        body.seek(0)
        return True

    def _wait(self, url: httpx.URL) -> None:
        known = self._robots.get(_origin(url))
        delay_s = min((known and known.crawl_delay(USER_AGENT)) or 0.0, _MAX_DELAY_S)
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + max(self._pause_s, delay_s)

    def _rules(self, url: httpx.URL) -> Protego:
        """Ask the host's robots.txt, once. Raises FetchFailed when it cannot be had: then nobody knows."""
        origin = _origin(url)
        if origin not in self._robots:
            reply = self.get(httpx.URL(f"{origin}/robots.txt"), is_robots=True)
            with closing(reply.body) as body:
                if reply.status in _MISSING:
                    text = ""
                elif reply.status == httpx.codes.OK:
                    text = body.read(_MAX_ROBOTS_BYTES).decode("utf-8", "replace")
                else:
                    raise FetchFailed(f"{origin}/robots.txt answers with status {reply.status}.")
            self._robots[origin] = Protego.parse(text)
        return self._robots[origin]


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _content_type(response: httpx.Response) -> tuple[str, str | None]:
    header = Message()
    header["content-type"] = response.headers.get("content-type", "")
    declared = header.get_content_type() if response.headers.get("content-type") else ""
    return declared, header.get_content_charset()


def _version(response: httpx.Response, content_type: str) -> str | None:
    """Return content type and validator; kept by the store, and read again by `_conditions`."""
    validator = response.headers.get("etag") or _settled_date(response)
    return f"{content_type} {validator}" if validator else None


def _settled_date(response: httpx.Response) -> str | None:
    """Return Last-Modified, unless the document may have changed again within the same second (RFC 9110, 8.8.2.2)."""
    modified, sent = response.headers.get("last-modified"), response.headers.get("date")
    if not modified or not sent:
        return None
    try:
        age = parsedate_to_datetime(sent) - parsedate_to_datetime(modified)
    except (ValueError, TypeError):
        return None
    return str(modified) if age.total_seconds() >= 1 else None


def content_type_of(version: str) -> str:
    """Return the content type that a version begins with."""
    return version.partition(" ")[0]


def _conditions(version: str | None) -> dict[str, str]:
    if version is None:
        return {}
    validator = version.partition(" ")[2]
    # HTTP dates end like this; an entity tag is quoted.
    return {"if-modified-since" if validator.endswith("GMT") else "if-none-match": validator}
