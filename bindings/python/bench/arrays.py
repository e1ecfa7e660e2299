"""Arrays of numpy from Python to Python and back: messages of masep beside bare sockets.

``python arrays.py serve NAME ADDRESS`` answers each array with itself, where it was read. ``python arrays.py drive ADDRESS
ADDRESS SIZE ROUNDS SECONDS`` takes turns with bare sockets and masep, and prints the medians of the rounds in microseconds.
One process drives both, and for short times, so that what else the machine does hits both.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable

import masep
import numpy as np
from masep import Message

Trip = Callable[[], "np.ndarray"]

HEADER = 8
# Shorter rounds tell nothing.
FEWEST = 5


# --- bare sockets: a length of eight bytes, one `sendmsg`, and a fresh buffer for what comes


def connected(target: str) -> socket.socket:
    """A socket that is connected to this address of masep's."""
    if target.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(target.removeprefix("unix://"))
        return sock
    host, port = target.split(":")
    return without_delay(socket.create_connection((host, int(port))))


def without_delay(sock: socket.socket) -> socket.socket:
    """The same, of which small writes do not wait."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listening(target: str) -> tuple[socket.socket, str]:
    """A socket that listens on this address, and where that is."""
    if target.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(target.removeprefix("unix://"))
        sock.listen()
        return sock, target
    host, port = target.split(":")
    sock = socket.create_server((host, int(port)))
    return sock, "{}:{}".format(*sock.getsockname())


def send(sock: socket.socket, array: np.ndarray) -> None:
    """Sends an array."""
    size = array.nbytes
    sent = sock.sendmsg([size.to_bytes(HEADER, "little"), memoryview(array)])
    assert sent == HEADER + size


def receive(sock: socket.socket) -> np.ndarray | None:
    """The next array; None at the end."""
    header = sock.recv(HEADER, socket.MSG_WAITALL)
    if len(header) < HEADER:
        return None
    buffer = bytearray(int.from_bytes(header, "little"))
    received = sock.recv_into(buffer, 0, socket.MSG_WAITALL)
    assert received == len(buffer)
    return np.frombuffer(buffer, np.uint8)


def serve_sockets(target: str) -> None:
    """Answers on bare sockets."""
    listener, address = listening(target)
    print(address, flush=True)
    while True:
        sock, _ = listener.accept()
        without_delay(sock)
        while (array := receive(sock)) is not None:
            send(sock, array)


# --- masep


def serve_masep(target: str) -> None:
    """Answers by messages."""
    with masep.Server("server", target) as server:
        print(server.target, flush=True)
        for connection in server:
            while (message := connection.recv_message()) is not None:
                assert message.params is not None
                camera = message.params["camera"]
                connection.send(Message("observation", {"camera": camera}, "server"))


# --- both


def median(trip: Trip, seconds: float) -> float:
    """The median time of a round trip, in microseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end or len(times) < FEWEST:
        trip()
        times.append((time.perf_counter() - now) * 1e6)
    return statistics.median(times)


def drive(bare: str, own: str, size: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    """The medians of both, round by round."""
    array = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    with connected(bare) as sock, masep.connect(own, id="client", protocol=2) as connection:

        def over_sockets() -> np.ndarray:
            send(sock, array)
            answer = receive(sock)
            assert answer is not None
            return answer

        def over_masep() -> np.ndarray:
            connection.send(Message("observation", {"camera": array}, "client"))
            message = connection.recv_message()
            assert message is not None and message.params is not None
            answer: np.ndarray = message.params["camera"]
            return answer

        trips = {"sockets": over_sockets, "masep": over_masep}
        for name, trip in trips.items():
            median(trip, seconds / 4)
            answer = trip()
            assert np.array_equal(answer, array) and answer.flags.writeable, name
        figures: dict[str, list[float]] = {name: [] for name in trips}
        for number in range(rounds):
            for name in list(trips)[:: 1 if number % 2 == 0 else -1]:
                figures[name].append(median(trips[name], seconds))
        return figures


def main() -> None:
    """One of the processes."""
    role, *rest = sys.argv[1:]
    if role == "serve":
        {"sockets": serve_sockets, "masep": serve_masep}[rest[0]](rest[1])
    else:
        bare, own, size, rounds, seconds = rest
        print(json.dumps(drive(bare, own, int(size), int(rounds), float(seconds))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
