"""The protocol by bare sockets: a peer that can be as slow, as broken or as hostile as a test wants."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from peers import PATIENCE

BYE = b"BYE"


def frame(body: bytes) -> bytes:
    """Header and body."""
    return len(body).to_bytes(2, "little") + body


class Wire:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, body: bytes) -> None:
        """One frame in one write."""
        self.socket.sendall(frame(body))

    def send_in_pieces(self, body: bytes, size: int) -> None:
        """One frame in writes of `size` bytes, each a segment of its own where the link is idle."""
        whole = frame(body)
        for start in range(0, len(whole), size):
            self.socket.sendall(whole[start : start + size])

    def receive(self) -> bytes | None:
        """The next frame's body; None at the end of the stream."""
        header = self._exactly(2)
        if header is None:
            return None
        body = self._exactly(int.from_bytes(header, "little"))
        assert body is not None, "the stream ended within a frame"
        return body

    def _exactly(self, size: int) -> bytes | None:
        got = b""
        while len(got) < size:
            piece = self.socket.recv(size - len(got))
            if not piece:
                assert not got, f"the stream ended after {len(got)} of {size} bytes"
                return None
            got += piece
        return got

    def frames(self) -> Iterator[bytes]:
        """All frames to the end of the stream."""
        while (body := self.receive()) is not None:
            yield body

    def reset(self) -> None:
        """Closes with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@contextmanager
def connected(port: int, hello: bytes | None) -> Iterator[Wire]:
    """A client's end, after the handshake; without one when `hello` is None."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        wire = Wire(sock)
        if hello is not None:
            wire.send(hello)
            assert wire.receive() is not None, "no hello from the server"
        yield wire


class Listener:
    """A server's end that takes one connection at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.port = sock.getsockname()[1]

    @contextmanager
    def accepted(self, ident: bytes = b"listener") -> Iterator[tuple[Wire, bytes]]:
        """The next connection after the handshake, and the id it gave."""
        sock, _ = self._socket.accept()
        with sock:
            wire = Wire(sock)
            hello = wire.receive()
            assert hello is not None, "the client closed without a hello"
            wire.send(ident)
            yield wire, hello


@contextmanager
def listening() -> Iterator[Listener]:
    """A listening socket on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(PATIENCE)
        yield Listener(sock)
