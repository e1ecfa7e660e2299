"""A real pymasep `Client` with its `SocketHandlerQueue`, obeying lines: `python -m programs.client`.

In: `{"frame": hex}` sends a frame, `{"burst": [count, size]}` sends many, `{"bye": true}` sends BYE,
`{"echo_rounds": n, "size": s}` measures n round trips, `{"close": true}` closes the socket without BYE.
Out: `connected`, `frame` (size, sha256, and the bytes when there are few), `handler_ended` with what the
handler's thread has cost and how many empty frames it has seen: a pymasep handler that spins reads empty
frames without end and never ends.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import queue
import resource
import socket
import sys
import threading
import time
from typing import Any

from pymasep.communication import Client, Frame, SocketHandlerQueue

from programs.report import emit, emit_crashes


def cpu_seconds() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class CountingQueue(queue.Queue):
    """Reports each frame, except the empty ones: these are counted, for a spinning handler makes 10^5 a second."""

    def __init__(self) -> None:
        super().__init__()
        self.empty_frames = 0
        self.quiet = False

    def put(self, item: bytes, *args: Any, **kwargs: Any) -> None:
        """Reports and queues one frame's body."""
        if not item:
            self.empty_frames += 1
            return
        if not self.quiet:
            emit(
                "frame",
                size=len(item),
                sha256=hashlib.sha256(item).hexdigest(),
                hex=item.hex() if len(item) <= 4096 else None,
            )
        super().put(item, *args, **kwargs)


def round_trips(client: Client, received: CountingQueue, count: int, size: int) -> list[float]:
    """Milliseconds of each of `count` round trips to a server that sends everything back."""
    body = b"x" * size
    while not received.empty():
        received.get()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        client.send_frame_to(client.server_id, Frame(body))
        received.get(timeout=10)
        times.append((time.perf_counter() - start) * 1000)
    return times


def obey(client: Client, received: CountingQueue, line: dict[str, Any]) -> None:
    """Does what one line says."""

    def send(body: bytes) -> None:
        client.send_frame_to(client.server_id, Frame(body))

    if "frame" in line:
        send(bytes.fromhex(line["frame"]))
    elif "burst" in line:
        count, size = line["burst"]
        for number in range(count):
            send(number.to_bytes(4, "big") + bytes(size - 4))
    elif "echo_rounds" in line:
        received.quiet = True
        emit("rounds", ms=round_trips(client, received, line["echo_rounds"], line["size"]))
        received.quiet = False
    elif "bye" in line:
        send(b"BYE")
    elif "close" in line:
        client.socket.shutdown(socket.SHUT_RDWR)
        client.socket.close()


def watch(handler: threading.Thread, received: CountingQueue, cpu_before: float) -> None:
    """Waits for the end of the handler's thread and reports it."""
    handler.join()
    emit("handler_ended", cpu=cpu_seconds() - cpu_before, empty_frames=received.empty_frames)


def main() -> None:
    """Connects, then obeys lines until stdin ends; the process ends when the handler's thread has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="without it, pymasep's LAN search is asked")
    args = parser.parse_args()
    emit_crashes()
    received = CountingQueue()
    client = Client(
        args.id,
        SocketHandlerQueue,
        (received,),
        host=args.host if args.port else None,
        port=args.port,
    )
    if args.port is None:
        client.search_server()
        emit("found", host=client.host, port=client.port)
        if client.port is None:
            return
    cpu_before = cpu_seconds()
    client.connect()
    emit("connected", server_id=client.server_id)
    handler = client.get_connection(client.server_id)
    threading.Thread(target=watch, args=(handler, received, cpu_before)).start()
    for line in sys.stdin:
        obey(client, received, json.loads(line))
    # The Client must live as long as its handler: when it is collected it closes the socket.
    handler.join()


if __name__ == "__main__":
    main()
