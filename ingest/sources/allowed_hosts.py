"""Which hosts may be asked for documents, and at which addresses: nothing else is ever connected to."""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpx

from catalog.errors import ConfigurationError, InvalidRequest

_Address = IPv4Address | IPv6Address
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Translates to IPv4 at a gateway (RFC 6052).
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ENTRY: Final = re.compile(
    r"(?P<name>\[[0-9a-fA-F:.]+\]|[^\s/?#@:*%\[\]=]+)(?::(?P<port>\d{1,5}))?(?:=(?P<network>\S+))?"
)

# Returns the addresses of a host for connections to a port. Raises OSError.
Resolve = Callable[[str, int], Sequence[str]]


class HostRefused(InvalidRequest):
    """This host may not be asked for documents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _AllowedHost:
    # As DNS has it: lower case, punycode.
    name: str
    # None: the default port of the scheme.
    port: int | None
    # Addresses that are allowed although the internet cannot reach them.
    network: IPv4Network | IPv6Network | None


class AllowedHosts:
    """The hosts that an operator has allowed: `HOST`, `HOST:PORT`, each with `=NETWORK` behind it or not.

    A name is connected to at public addresses alone, so that nobody who controls it can lead requests into the
    operator's own network. `wiki.example.com=10.1.0.0/16` allows that network too. An entry that is an address needs
    no network: it says where it leads.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        """Raises ConfigurationError for an entry that is none of the forms."""
        self._hosts = [_parse(entry) for entry in entries]

    def check(self, url: httpx.URL) -> None:
        """Raises HostRefused, naming the host and the setting, when no entry allows the host of `url`."""
        if not self._entries(url):
            host = url.netloc.decode()
            raise HostRefused(
                f"The host {host!r} is not allowed. To read from it, add it to the setting http_allowed_hosts "
                f"(FOOTNOTE_HTTP_ALLOWED_HOSTS={host})."
            )

    def addresses(self, url: httpx.URL, resolve: Resolve) -> list[str]:
        """Return the addresses at which the host may be asked, in the order of `resolve`; never none.

        Raises HostRefused when the host or all its addresses are not allowed, OSError when it has none.
        """
        self.check(url)
        host = url.raw_host.decode()
        found = list(dict.fromkeys(resolve(host, _port(url))))
        entries = self._entries(url)
        allowed = [a for a in found if any(_leads_to(entry, ip_address(a)) for entry in entries)]
        if not allowed:
            raise HostRefused(
                f"The host {host!r} has the address {', '.join(found)}, which is not on the public internet. If that "
                f"is right, say so in http_allowed_hosts: {host}={_network_of(found[0])}."
            )
        return allowed

    def _entries(self, url: httpx.URL) -> list[_AllowedHost]:
        host, default = url.raw_host.decode().lower(), _DEFAULT_PORTS.get(url.scheme)
        return [e for e in self._hosts if e.name == host and _port(url) == (e.port or default)]


def resolve_host(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    # A scope ("%eth0") belongs to link-local addresses, which no entry can allow by name.
    return [
        str(place[0]).split("%")[0] for *_, place in socket.getaddrinfo(host, port, type=socket.SocketKind.SOCK_STREAM)
    ]


def _parse(entry: str) -> _AllowedHost:
    try:
        form = _ENTRY.fullmatch(entry.strip())
        if form is None:
            raise ValueError
        port, network = form["port"], form["network"]
        return _AllowedHost(
            name=httpx.URL(f"https://{form['name']}").raw_host.decode().lower(),
            port=int(port) if port else None,
            network=ip_network(network) if network else None,
        )
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"{entry!r} in http_allowed_hosts is no HOST, HOST:PORT, HOST=NETWORK or HOST:PORT=NETWORK, for example "
            "docs.example.com or wiki.example.com:8443=10.1.0.0/16."
        ) from error


def _port(url: httpx.URL) -> int:
    return url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def _leads_to(entry: _AllowedHost, address: _Address) -> bool:
    if entry.network is not None and address in entry.network:
        return True
    return entry.name == str(address) or _is_public(address)


def _is_public(address: _Address) -> bool:
    """Tell whether an address is on the internet and leads to nowhere else."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return False
        if inner := address.ipv4_mapped or address.sixtofour:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _network_of(address: str) -> str:
    return str(ip_network(ip_address(address)))
