"""The network path to the provider: proxies and certificates from the environment."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import urllib.request
from contextlib import closing, contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.provider import LoopbackProvider

from titlecard.domain.money import PriceList
from titlecard.domain.reasons import Reason
from titlecard.domain.video import Video
from titlecard.extraction import LocalParse
from titlecard.llm import Answer, ModelTier
from titlecard.llm.client import proxy_for
from titlecard.llm.errors import Defer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUESS = LocalParse("A Talk", (), 0.1, sure=False, source="nobody")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
NAMES = ("MODEL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all proxies from the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(base_url: str) -> Answer | Fault:
    """Send one request to a provider; the first one loads the client."""
    prices = PriceList.packaged()
    with closing(
        ModelTier("gpt-6-luna", max_output_tokens=400, prices=prices, base_url=base_url, price_factor=Decimal(1))
    ) as tier:
        tier.load()
        try:
            request = tier.prepare(Video(id="1", title="A Talk"), GUESS, "")
            return tier.ask(request, key="sk-proj-loopback-0123456789", deadline_seconds=30)
        except Fault as fault:
            return fault


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def passing_on_to(provider: LoopbackProvider, seen: list[str]) -> type[BaseHTTPRequestHandler]:
    """Return a server that forwards every request to the provider, as a proxy does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {"content-type": "application/json", "authorization": self.headers["authorization"]}
            request = urllib.request.Request(f"{provider.base_url}/responses", body, headers)  # noqa: S310 -- loopback
            with DIRECT.open(request) as response:
                content = response.read()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_CONNECT(self) -> None:
            seen.append(self.path)
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler


def test_a_request_goes_through_the_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with LoopbackProvider() as provider, served(passing_on_to(provider, seen)) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        assert isinstance(ask("http://provider.invalid/v1"), Answer)
        assert (seen, len(provider.posts)) == (["http://provider.invalid/v1/responses"], 1)


def test_a_proxy_that_refuses_connections_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with LoopbackProvider() as provider, served(passing_on_to(provider, seen)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        fault = ask("https://provider.invalid/v1")
    assert isinstance(fault, Defer)
    assert (fault.reason, seen) == (Reason.PROVIDER_UNREACHABLE, ["provider.invalid:443"])


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://proxy:1"}, "http://proxy:1"),
        ("https://api.openai.com/v1", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("https://api.openai.com/v1", {"ALL_PROXY": "proxy:1"}, "http://proxy:1"),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "openai.com"}, None),
        ("https://api.openai.com/v1", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, None),
        ("https://api.openai.com/v1", {"MODEL_PROXY": "http://own:1", "HTTPS_PROXY": "http://proxy:1"}, "http://own:1"),
        ("https://api.openai.com/v1", {"MODEL_PROXY": "", "HTTPS_PROXY": "http://proxy:1"}, "http://proxy:1"),
        ("http://127.0.0.1:80/v1", {"MODEL_PROXY": "http://proxy:1"}, None),
        ("http://127.0.0.1:80/v1", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("http://localhost:80/v1", {"ALL_PROXY": "http://proxy:1"}, None),
    ],
)
def test_the_proxy_is_the_one_of_the_endpoints_scheme(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


def certificate(folder: Path) -> Path:
    """Make a certificate for this machine that only its owner trusts, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(secret + made.public_bytes(pem))
    return file


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_that_the_environment_names_is_trusted_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, trusted: bool
) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with LoopbackProvider() as provider, served(passing_on_to(provider, []), context) as port:
        outcome = ask(f"https://127.0.0.1:{port}/v1")
    assert isinstance(outcome, Answer) is trusted
    assert trusted or getattr(outcome, "reason", None) is Reason.PROVIDER_UNREACHABLE
