"""Requests go to an address that was checked, and TLS still verifies the name."""

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ingest.sources.allowed_hosts import AllowedHosts, HostRefused
from ingest.sources.guarded_http import GuardedTransport, open_client
from tests.site import Site, html, serving

NAME = "docs.example"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.pages["/"] = html()
        yield site


def client(site: Site, *found: str, network: str = "127.0.0.0/8", verify: ssl.SSLContext | bool = True) -> httpx.Client:
    """Return a client for which DNS says that docs.example has these addresses."""
    allowed = AllowedHosts([f"{NAME}:{site.port}={network}"])
    return open_client(GuardedTransport(allowed, resolve=lambda host, port: found, verify=verify))


def test_a_request_goes_to_the_checked_address_under_its_name(site: Site) -> None:
    """The server sees the name in the Host header."""
    with client(site, "127.0.0.1") as web:
        reply = web.get(f"http://{NAME}:{site.port}/")
    assert reply.status_code == 200
    assert site.headers[0]["host"] == f"{NAME}:{site.port}"
    assert site.headers[0]["user-agent"] == "footnote"


def test_nothing_is_connected_to_before_the_address_is_checked(site: Site) -> None:
    """A name that leads to this machine without leave gets no request."""
    with client(site, "127.0.0.1", network="10.0.0.0/8") as web, pytest.raises(HostRefused, match=r"127\.0\.0\.1"):
        web.get(f"http://{NAME}:{site.port}/")
    assert site.requests == []


def test_the_address_is_looked_up_once(site: Site) -> None:
    """What is checked is what is connected to: a second answer of DNS comes too late."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    allowed = AllowedHosts([f"{NAME}:{site.port}=127.0.0.0/8"])
    with open_client(GuardedTransport(allowed, resolve=lambda host, port: next(answers))) as web:
        assert web.get(f"http://{NAME}:{site.port}/").status_code == 200
        with pytest.raises(HostRefused):
            web.get(f"http://{NAME}:{site.port}/")


def test_the_next_address_is_tried_when_one_does_not_answer(site: Site) -> None:
    """A host with several addresses is reached while one of them works."""
    with client(site, "127.0.0.2", "127.0.0.1") as web:
        assert web.get(f"http://{NAME}:{site.port}/").status_code == 200
    with client(site, "127.0.0.2") as web, pytest.raises(httpx.ConnectError):
        web.get(f"http://{NAME}:{site.port}/")


def test_a_name_that_cannot_be_looked_up_is_a_connection_error() -> None:
    """It names the host."""

    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror("Name or service not known")

    transport = GuardedTransport(AllowedHosts([NAME]), resolve=fail)
    with open_client(transport) as web, pytest.raises(httpx.ConnectError, match=r"docs\.example"):
        web.get(f"https://{NAME}/")


def test_the_environment_names_no_proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look names up by itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with client(site, "127.0.0.1") as web:
        assert web.get(f"http://{NAME}:{site.port}/").status_code == 200


def certificate(folder: Path, name: str) -> Path:
    """Write a certificate that is its own authority, with its key; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(("certified", "is_trusted"), [(NAME, True), ("other.example", False)])
def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path, certified: str, is_trusted: bool) -> None:
    """The connection goes to an address, the certificate has to be the name's."""
    path = certificate(tmp_path, certified)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    with serving(server) as site, client(site, "127.0.0.1", verify=ssl.create_default_context(cafile=path)) as web:
        site.pages["/"] = html()
        if is_trusted:
            assert web.get(f"https://{NAME}:{site.port}/").status_code == 200
        else:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                web.get(f"https://{NAME}:{site.port}/")
