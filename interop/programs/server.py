"""A real pymasep `Server`, obeying lines: `python -m programs.server`.

In: `{"to": id, "frame": hex}`, `{"to": id, "burst": [count, size]}`, `{"to": id, "bye": true}`,
`{"to": id, "close": true}` (no BYE), `{"to": id, "status": true}`. With `--echo` it sends back all it gets.
Out: `ready`, `frame` (from which connection, size, sha256, and the bytes when there are few), `handler_ended`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import socket
import sys
from typing import Any

from pymasep.communication import Frame, Server, SocketHandler

from programs.report import emit, emit_crashes


class ReportingHandler(SocketHandler):
    """pymasep's handler; what it receives is reported, or sent back."""

    def __init__(self, conn: Any, addr: Any, logger: Any, echo: bool) -> None:
        super().__init__(conn, addr, logger)
        self._echo = echo
        self._empty_frames = 0

    def on_receive(self, frame: Frame) -> None:
        """One frame; the empty ones are only counted, for a spinning handler makes 10^5 a second."""
        if not frame.message:
            self._empty_frames += 1
        elif self._echo:
            self.send_frame(frame)
        else:
            emit(
                "frame",
                port=self.addr[1],
                size=frame.size,
                sha256=hashlib.sha256(frame.message).hexdigest(),
                hex=frame.message.hex() if frame.size <= 4096 else None,
            )

    def run(self) -> None:
        """pymasep's loop, then the report of its end and of the processor time of the whole process."""
        emit("handler_started", port=self.addr[1])
        before = resource.getrusage(resource.RUSAGE_THREAD)
        super().run()
        used = resource.getrusage(resource.RUSAGE_THREAD)
        emit(
            "handler_ended",
            port=self.addr[1],
            empty_frames=self._empty_frames,
            cpu=used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        )


def obey(server: Server, line: dict[str, Any]) -> None:
    """Does what one line says."""
    handler = server.get_connection(line["to"])
    if "frame" in line:
        handler.send_frame_async(Frame(bytes.fromhex(line["frame"])))
    elif "burst" in line:
        count, size = line["burst"]
        for number in range(count):
            handler.send_frame_async(Frame(number.to_bytes(4, "big") + bytes(size - 4)))
    elif "bye" in line:
        handler.send_frame_async(Frame.bye_frame())
    elif "close" in line:
        handler.socket.shutdown(socket.SHUT_RDWR)
        handler.socket.close()


def main() -> None:
    """Serves on a free port until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--announce", action="store_true")
    args = parser.parse_args()
    emit_crashes()
    # As pymasep's engine does: its answer to the search is never 127.0.0.1.
    server = Server(
        args.id,
        10,
        ReportingHandler,
        (args.echo,),
        host="" if args.announce else args.host,
        port=0,
        wait_announcement=args.announce,
    )
    server.port = server.socket.getsockname()[1]
    server.wait_connection()
    if args.announce:
        server.wait_announcement()
    emit("ready", port=server.port, id=server.id)
    for line in sys.stdin:
        obey(server, json.loads(line))
    # Handlers of connections without BYE would keep the process alive for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
