"""The real pymasep between two processes, for `cargo xtask bench`: `python -m bench_sockets {serve,drive} JOB`.

JOB is the JSON by which the bench tells its processes what to do. The server's first line says where it listens,
and in which process; the client prints what it has measured, under the names that the bench has for it.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import tempfile
import time
from typing import Any

from pymasep.communication import Client, Frame, Server, SocketHandler, SocketHandlerQueue

Outcome = dict[str, float]

# Seconds without an answer after which there will be none: pymasep's own stall is a tenth of one.
PATIENCE = 2.0

ECHO, TAKE, ACKNOWLEDGE = b"e", b"t", b"a"


class Answering(SocketHandler):
    """Does what the first byte of a frame asks for, in the thread that reads."""

    def __init__(self, conn: Any, addr: Any, logger: Any) -> None:
        super().__init__(conn, addr, logger)
        self._taken = 0

    def on_receive(self, frame: Frame) -> None:
        """One frame; as many bytes came as its header had announced, or as were there."""
        if frame.message.startswith(ECHO):
            self.send_frame(frame)
        else:
            self._taken += 1
        if frame.message.startswith(ACKNOWLEDGE):
            self.send_frame(Frame(str(self._taken).encode()))
            self._taken = 0


def serve(out: Any) -> None:
    """Until its standard input ends."""
    server = Server("server", 10, Answering, (), host="127.0.0.1", port=0)
    server.port = server.socket.getsockname()[1]
    server.wait_connection()
    print(f"ready 127.0.0.1:{server.port} {os.getpid()}", file=out, flush=True)
    sys.stdin.read()


class Conversation:
    """A client, and the queue that its handler fills."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._received: queue.Queue[bytes] = queue.Queue()
        self._client = Client("client-0", SocketHandlerQueue, (self._received,), host=host, port=int(port))
        self._client.connect()

    def send(self, body: bytes) -> None:
        """Hands a frame to the handler's thread."""
        self._client.send_frame_to(self._client.server_id, Frame(body))

    def receive(self) -> bytes:
        """The next frame."""
        try:
            return self._received.get(timeout=PATIENCE)
        except queue.Empty:
            raise SystemExit(f"corrupt: no answer within {PATIENCE:.0f} s") from None


def round_trips(talk: Conversation, size: int, seconds: float) -> Outcome:
    """The median and the 99th percentile, in microseconds."""
    body = ECHO + b"." * (size - 1)
    times: list[float] = []
    for length in (seconds / 10, seconds):
        times.clear()
        end = time.perf_counter() + length
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            talk.send(body)
            answer = talk.receive()
            times.append((time.perf_counter() - start) * 1e6)
            if answer != body:
                raise SystemExit(f"corrupt: {size} bytes were sent, {len(answer)} came back")
    times.sort()
    return {"p50": times[len(times) // 2], "p99": times[min(int(len(times) * 0.99), len(times) - 1)]}


def one_way(talk: Conversation, size: int, seconds: float) -> Outcome:
    """Millions of messages and gigabytes a second."""
    take, last = (kind + b"." * (size - 1) for kind in (TAKE, ACKNOWLEDGE))
    count = 16
    while True:
        start = time.perf_counter()
        for _ in range(count - 1):
            talk.send(take)
        talk.send(last)
        answer = talk.receive()
        needed = time.perf_counter() - start
        if answer != str(count).encode():
            raise SystemExit(f"corrupt: {count} messages were sent, the answer is {answer[:20]!r}")
        if needed >= seconds:
            return {"messages": count / needed / 1e6, "bytes": count * size / needed / 1e9}
        count = min(max(int(count * seconds * 1.1 / needed), count + 1), count * 8)


def drive(job: dict[str, Any], out: Any) -> None:
    """Measures and prints."""
    talk = Conversation(job["address"])
    work = {"RoundTrip": round_trips, "OneWay": one_way}[job["work"]]
    print(json.dumps(work(talk, job["size"], job["seconds"])), file=out, flush=True)


def main() -> None:
    """pymasep's threads do not end by themselves: the process does."""
    role, job = sys.argv[1], json.loads(sys.argv[2])
    # pymasep prints too, and writes its logs where it runs.
    out, sys.stdout = sys.stdout, sys.stderr
    directory = tempfile.mkdtemp(prefix="masep-bench-")
    os.chdir(directory)
    code = 0
    try:
        if role == "serve":
            serve(out)
        else:
            drive(job, out)
    except SystemExit as end:
        print(end, file=sys.stderr, flush=True)
        code = 1
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(code)


if __name__ == "__main__":
    main()
