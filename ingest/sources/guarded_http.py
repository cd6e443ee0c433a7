"""HTTP that reaches allowed hosts alone."""

from ssl import SSLContext
from typing import Final

import httpx

from ingest.sources.allowed_hosts import AllowedHosts, Resolve, resolve_host

TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
USER_AGENT: Final = "footnote"


class GuardedTransport(httpx.BaseTransport):
    """Looks a host up once, checks its addresses, and connects to one that was checked.

    Between a check by name and a connection by name, DNS could give another answer. Raises HostRefused for what is not
    allowed.
    """

    def __init__(
        self, allowed: AllowedHosts, *, resolve: Resolve = resolve_host, verify: SSLContext | bool = True
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._verify = verify
        # One for each host: a connection was verified for one name, and another one may share its address.
        self._transports: dict[bytes, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            addresses = self._allowed.addresses(request.url, self._resolve)
        except OSError as error:
            raise httpx.ConnectError(f"{request.url.host!r} cannot be looked up: {error}", request=request) from error
        for address in addresses[:-1]:
            try:
                return self._send(request, address)
            except httpx.ConnectError:
                continue
        return self._send(request, addresses[-1])

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()

    def _send(self, request: httpx.Request, address: str) -> httpx.Response:
        """Send the request to `address`; the name stays in the Host header and in TLS, which verifies it."""
        host = request.url.raw_host
        if host not in self._transports:
            self._transports[host] = httpx.HTTPTransport(verify=self._verify)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host.decode()},
        )
        return self._transports[host].handle_request(pinned)


def open_client(transport: httpx.BaseTransport) -> httpx.Client:
    """Redirects are the caller's; neither proxies nor passwords are taken from the environment."""
    return httpx.Client(
        transport=transport,
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": USER_AGENT, "accept-encoding": "gzip, deflate"},
    )
