"""Connections in TLS, of each kind, and against Python's own ssl."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

import masep
import masep.aio

#: The first bytes of a client of protocol 2, and a HELLO of the id ``foreign``.
HELLO = (
    b"\x07\0masep/2\x03\0BYE\0\0"
    b"\x2c\0\0\0\x01\0\0\0\xa5\x61v\x82\x02\x02\x62id\x67foreign\x63max\x1a\0\x10\0\0\x68features\x80\x65agent\x61x\0\0\0\0"
)


class Files(NamedTuple):
    ca: Path
    cert: Path
    key: Path


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A CA, and a server's certificate for 127.0.0.1 and engine.test, as openssl makes them."""
    folder = tmp_path_factory.mktemp("tls")
    ca, ca_key, request = folder / "ca.pem", folder / "ca.key", folder / "server.csr"
    leaf, cert, key, extensions = (folder / name for name in ("leaf", "server.pem", "server.key", "ext"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-subj", "/CN=tests", "-days", "2")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=server")
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:engine.test\nextendedKeyUsage=serverAuth\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
        "-out", leaf, "-days", "1", "-extfile", extensions,
    )  # fmt: skip
    cert.write_text(leaf.read_text() + ca.read_text())
    return Files(ca, cert, key)


def test_a_session_in_tls(files: Files) -> None:
    with masep.Server("engine", "127.0.0.1:0", tls_cert=files.cert, tls_key=files.key) as server:
        assert server.target.startswith("masep+tls://127.0.0.1:")
        with masep.connect(server.target, id="agent", tls_ca=files.ca) as client:
            connection = server.accept(5)
            assert connection is not None
            for size in (0, 1, 1_000, 200_000):
                client.send(b"x" * size)
                assert connection.recv(5) == b"x" * size
                connection.send(b"y" * size)
                assert client.recv(5) == b"y" * size


def test_a_session_in_an_event_loop(files: Files) -> None:
    async def play() -> None:
        options = {"tls_cert": files.cert, "tls_key": files.key}
        async with masep.aio.Server("engine", "127.0.0.1:0", **options) as server:
            async with masep.aio.connect(server.target, id="agent", tls_ca=files.ca) as client:
                connection = await server.accept()
                assert connection is not None
                for size in (0, 1, 1_000, 200_000):
                    await client.send(b"x" * size)
                    assert await connection.recv() == b"x" * size
                # Many that come together are there though the socket has no more.
                for number in range(500):
                    await connection.send(bytes([number % 256]) * 100)
                for number in range(500):
                    assert await client.recv() == bytes([number % 256]) * 100

    asyncio.run(asyncio.wait_for(play(), 60))


def test_a_table_and_a_player_in_tls(files: Files) -> None:
    table = masep.Table(
        "pkg.Game", ["red"], "127.0.0.1:0", tls_cert=files.cert, tls_key=files.key
    )
    views: list[object] = []

    def play() -> None:
        with masep.join(table.target, id="a", game="pkg.Game", tls_ca=files.ca) as seat:
            for turn in seat:
                views.append(turn.view)
                if not turn.final:
                    turn.act(7)

    player = threading.Thread(target=play)
    player.start()
    with table:
        table.filled(30)
        moves = table.ask_all(lambda seat: 3)
        assert [move.action for move in moves] == [7]
    player.join(30)
    assert views and views[0] == 3


def test_who_is_not_trusted_is_told_by_name(files: Files) -> None:
    with masep.Server("engine", "127.0.0.1:0", tls_cert=files.cert, tls_key=files.key) as server:
        with pytest.raises(masep.TransportError) as caught:
            masep.connect(server.target, id="agent", tls_ca=files.ca, tls_name="other.test")
        assert caught.value.reason == "certificate_name"
        seat = masep.join(server.target, id="agent", game="a.B", tls_ca=files.ca, tls_name="other.test")
        for _ in range(2):
            with pytest.raises(masep.TransportError) as caught:
                seat.next_turn()
            assert (caught.value.reason, seat.end) == ("certificate_name", "cannot_connect")
        with pytest.raises(masep.CallerError):
            masep.join(server.target, id="agent", game="a.B", tls_ca="nowhere.pem").next_turn()
        with masep.connect(server.target, id="agent", tls_ca=files.ca, tls_name="engine.test"):
            pass
        with pytest.raises(masep.RejectedError, match="tls_required"):
            masep.connect(server.target.replace("+tls", ""), id="agent")
    with masep.Server("engine", "127.0.0.1:0") as plain:
        with pytest.raises(masep.TransportError) as caught:
            masep.connect(f"masep+tls://{plain.target}", id="agent", tls_ca=files.ca)
        assert caught.value.reason == "not_tls"


def test_options_that_cannot_be(files: Files) -> None:
    for options in ({"tls_cert": files.cert}, {"tls": "require"}, {"tls_cert": files.cert, "tls_key": files.ca}):
        with pytest.raises(masep.CallerError):
            masep.Server("engine", "127.0.0.1:0", **options)
    with pytest.raises(masep.CallerError):
        masep.connect("masep://127.0.0.1:1", id="agent", tls_ca=files.ca)


def context(files: Files, *protocols: str) -> ssl.SSLContext:
    found = ssl.create_default_context(cafile=str(files.ca))
    if protocols:
        found.set_alpn_protocols(protocols)
    return found


def test_pythons_ssl_as_a_client(files: Files) -> None:
    with masep.Server("engine", "127.0.0.1:0", tls_cert=files.cert, tls_key=files.key) as server:
        host, port = server.address
        with socket.create_connection((host, port), 10) as stream:
            with context(files, "masep/2").wrap_socket(stream, server_hostname=host) as client:
                assert client.selected_alpn_protocol() == "masep/2"
                assert client.version() == "TLSv1.3"
                client.sendall(HELLO)
                assert client.recv(9) == b"\x07\0masep/2"
                connection = server.accept(10)
                assert connection is not None and connection.peer == "foreign"
                assert connection.send(b"bytes") is None
        for protocols, version in ((), None), (("h2",), None), (("masep/2",), ssl.TLSVersion.TLSv1_2):
            refused = context(files, *protocols)
            if version is not None:
                refused.maximum_version = version
            with socket.create_connection((host, port), 10) as stream:
                with pytest.raises((ssl.SSLError, OSError)):
                    with refused.wrap_socket(stream, server_hostname=host) as client:
                        client.sendall(HELLO)
                        if not client.recv(1):
                            raise OSError("closed")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pythons_ssl_as_a_server(files: Files, version: ssl.TLSVersion) -> None:
    """One of TLS 1.2 alone is refused; one of 1.3 that closes without the end of TLS has cut the stream."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(files.cert, files.key)
    serving.set_alpn_protocols(["masep/2"])
    serving.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_2:
        serving.minimum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                stream.settimeout(10)
                try:
                    secure = serving.wrap_socket(stream, server_side=True)
                except (ssl.SSLError, OSError):
                    return
                with secure:
                    secure.recv(16)
                    secure.sendall(b"\x07\0masep/2\0\0\0\0\0\0\0")
                    # Without unwrap: the end of the stream is none of TLS.
                    socket.socket.shutdown(secure, socket.SHUT_RDWR)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(masep.TransportError) as caught:
            masep.connect(f"masep+tls://127.0.0.1:{port}", id="agent", tls_ca=files.ca)
        thread.join(30)
    expected = ("tls_version", "tls_alert", "tls_incompatible") if version == ssl.TLSVersion.TLSv1_2 else ("closed",)
    assert caught.value.reason in expected
