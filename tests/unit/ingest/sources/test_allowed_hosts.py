"""Hosts are asked when an operator has named them, at addresses where they may lie."""

from collections.abc import Sequence

import httpx
import pytest

from catalog.errors import ConfigurationError
from ingest.sources.allowed_hosts import AllowedHosts, HostRefused, resolve_host

PUBLIC = "93.184.215.14"


def addresses(entries: Sequence[str], url: str, *found: str) -> list[str]:
    return AllowedHosts(entries).addresses(httpx.URL(url), lambda host, port: found)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("docs.example.com", "https://docs.example.com/a"),
        ("docs.example.com", "http://docs.example.com/a"),
        ("docs.example.com", "https://docs.example.com:443/a"),
        ("Docs.Example.COM", "https://DOCS.example.com/a"),
        ("docs.example.com:8443", "https://docs.example.com:8443/"),
        ("docs.example.com:443", "https://docs.example.com/"),
        ("b\u00fccher.example", "https://xn--bcher-kva.example/"),
        ("xn--bcher-kva.example", "https://b\u00fccher.example/"),
        (" docs.example.com ", "https://docs.example.com/"),
    ],
)
def test_a_named_host_is_allowed(entry: str, url: str) -> None:
    """At the port that is named, or at the scheme's own."""
    assert addresses([entry], url, PUBLIC) == [PUBLIC]


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        ([], "https://docs.example.com/"),
        (["example.com"], "https://docs.example.com/"),
        (["docs.example.com"], "https://docs.example.com.evil.example/"),
        (["docs.example.com"], "https://docs.example.com:8443/"),
        (["docs.example.com:8443"], "https://docs.example.com/"),
        (["docs.example.com:443"], "http://docs.example.com/"),
        (["127.0.0.1:80"], "http://127.0.0.1:8000/"),
    ],
)
def test_any_other_host_is_refused(entries: list[str], url: str) -> None:
    """The message names the host, the setting and its variable."""
    with pytest.raises(HostRefused, match=r"example|127\.0\.0\.1") as caught:
        addresses(entries, url, PUBLIC)
    assert "http_allowed_hosts" in caught.value.message
    assert "FOOTNOTE_HTTP_ALLOWED_HOSTS" in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "2002:a00:1::",
        "64:ff9b::a00:1",
    ],
)
def test_an_allowed_name_leads_to_the_internet_alone(address: str) -> None:
    """Whoever controls the name cannot lead requests to this machine, its network or a cloud's metadata."""
    with pytest.raises(HostRefused, match="not on the public internet") as caught:
        addresses(["docs.example.com"], "https://docs.example.com/", address)
    assert "docs.example.com=" in caught.value.message


def test_of_several_addresses_the_public_ones_are_used() -> None:
    """In their order, each once."""
    found = ("10.0.0.1", PUBLIC, "2606:2800:21f::1", PUBLIC)
    assert addresses(["h.example"], "https://h.example/", *found) == [PUBLIC, "2606:2800:21f::1"]


@pytest.mark.parametrize(
    ("entry", "url", "address"),
    [
        ("wiki.example=10.0.0.0/8", "https://wiki.example/", "10.1.2.3"),
        ("wiki.example:8443=10.0.0.0/8", "https://wiki.example:8443/", "10.1.2.3"),
        ("wiki.example=fd00::/8", "https://wiki.example/", "fd00::1"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", "127.0.0.1"),
        ("[::1]:8000", "http://[::1]:8000/", "::1"),
        ("10.1.2.3", "https://10.1.2.3/", "10.1.2.3"),
    ],
)
def test_a_private_address_is_used_where_the_entry_says_so(entry: str, url: str, address: str) -> None:
    """By its network, or because the entry is the address."""
    assert addresses([entry], url, address) == [address]


def test_a_network_allows_itself_alone() -> None:
    """Another private address of the same name is refused."""
    with pytest.raises(HostRefused):
        addresses(["wiki.example=10.0.0.0/8"], "https://wiki.example/", "192.168.0.1")


@pytest.mark.parametrize(
    "entry",
    ["", "https://h.example", "h.example/path", "user@h.example", "h.example:port", "*.example", "h=10.0.0.1/8", "h="],
)
def test_what_is_no_host_is_refused_by_name(entry: str) -> None:
    """With the forms that there are."""
    with pytest.raises(ConfigurationError, match="HOST:PORT=NETWORK") as caught:
        AllowedHosts([entry])
    assert repr(entry) in caught.value.message


def test_the_system_resolves_names() -> None:
    """To addresses without a scope."""
    assert set(resolve_host("localhost", 80)) <= {"127.0.0.1", "::1"}
