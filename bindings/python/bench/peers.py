"""The two processes of a round trip: ``python peers.py serve NAME`` and ``python peers.py drive NAME ADDRESS SECONDS``.

The server's line says where it listens; the client prints the median in microseconds. Each peer answers a frame with
the same frame, where it was read.
"""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import masep
import masep.aio

BODY = b"." * 64
# pymasep has a tenth of a second for a round trip.
FEWEST = 5

Turn = Callable[[], bytes]

# pymasep and what it imports print, too.
OUT, sys.stdout = sys.stdout, sys.stderr


def ready(host: str, port: int) -> None:
    """Tells where the server listens."""
    ready_at(f"{host}:{port}")


def ready_at(target: str) -> None:
    """The same as text."""
    print(target, file=OUT, flush=True)


def unix_target() -> str:
    """Where a server listens on a Unix socket: in the directory in which it runs."""
    return f"unix://{os.getcwd()}/s"


def turns(seconds: float, times: list[float]) -> Iterator[None]:
    """Goes on while turns are to be made, and keeps how many microseconds each takes; those to warm up are
    not kept."""
    for length in (seconds / 10, seconds):
        times.clear()
        end = time.perf_counter() + length
        while time.perf_counter() < end or len(times) < FEWEST:
            start = time.perf_counter()
            yield
            times.append((time.perf_counter() - start) * 1e6)


def median(turn: Turn, seconds: float) -> float:
    """The median time of a turn, in microseconds."""
    times: list[float] = []
    for _ in turns(seconds, times):
        assert turn() == BODY
    return statistics.median(times)


# --- bare sockets: one `sendall` for a frame, reads until it is whole


def receive(sock: socket.socket) -> bytes:
    """A frame with its length in front of it, as masep has it."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "little"):
        chunk = sock.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    return data[2:]


def send(sock: socket.socket, body: bytes) -> None:
    """The same in the other direction."""
    sock.sendall(len(body).to_bytes(2, "little") + body)


def serve_sockets() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    ready(*listener.getsockname())
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while body := receive(sock):
        send(sock, body)


def drive_sockets(address: str, seconds: float) -> float:
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def turn() -> bytes:
            send(sock, BODY)
            return receive(sock)

        return median(turn, seconds)


# --- masep


def serve_masep(target: str = "127.0.0.1:0") -> None:
    with masep.Server("server", target) as server:
        ready_at(server.target)
        for connection in server:
            while (body := connection.recv()) is not None:
                connection.send(body)


def drive_masep(address: str, seconds: float) -> float:
    with masep.connect(address, id="client") as connection:

        def turn() -> bytes:
            connection.send(BODY)
            return connection.recv() or b""

        return median(turn, seconds)


def serve_aio(target: str = "127.0.0.1:0") -> None:
    async def serve() -> None:
        async with masep.aio.Server("server", target) as server:
            ready_at(server.target)
            async for connection in server:
                while (body := await connection.recv()) is not None:
                    await connection.send(body)

    asyncio.run(serve())


def drive_aio(address: str, seconds: float) -> float:
    async def drive() -> float:
        async with masep.aio.connect(address, id="client") as connection:
            times: list[float] = []
            for _ in turns(seconds, times):
                await connection.send(BODY)
                assert await connection.recv() == BODY
            return statistics.median(times)

    return asyncio.run(drive())


# --- the classes of pymasep.communication, its own and masep's


def serve_communication(module: Any) -> None:
    class Answering(module.SocketHandler):  # type: ignore[misc]
        def on_receive(self, frame: Any) -> None:
            self.send_frame(frame)

    server = module.Server("server", 10, Answering, (), host="127.0.0.1", port=0)
    port = server.socket.getsockname()[1]
    server.port = port
    server.wait_connection()
    ready("127.0.0.1", port)
    sys.stdin.read()


def drive_communication(module: Any, address: str, seconds: float) -> float:
    host, port = address.split(":")
    received: queue.Queue[bytes] = queue.Queue()
    client = module.Client("client", module.SocketHandlerQueue, (received,), host=host, port=int(port))
    client.connect()
    handler = client.get_connection(client.server_id)

    def turn() -> bytes:
        handler.send_frame(module.Frame(BODY))
        return received.get(timeout=10)

    return median(turn, seconds)


def main() -> None:
    """Ends the process itself: pymasep's threads do not."""
    role, name, *rest = sys.argv[1:]
    if name.endswith("communication"):
        module = import_module(name)
        if role == "serve":
            serve_communication(module)
        else:
            print(drive_communication(module, rest[0], float(rest[1])), file=OUT, flush=True)
    elif role == "serve" and name.endswith(", Unix"):
        {"masep": serve_masep, "masep.aio": serve_aio}[name.removesuffix(", Unix")](unix_target())
    elif role == "serve":
        {"sockets": serve_sockets, "masep": serve_masep, "masep.aio": serve_aio}[name]()
    else:
        name = name.removesuffix(", Unix")
        drive = {"sockets": drive_sockets, "masep": drive_masep, "masep.aio": drive_aio}[name]
        print(drive(rest[0], float(rest[1])), file=OUT, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
