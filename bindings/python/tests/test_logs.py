"""Each line of the log about a peer is one line, whatever its id contains."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import socket
import subprocess
import sys
import threading
import unicodedata
import weakref

import masep
import masep.aio
import pytest
from masep.communication import Client, Server, SocketHandlerQueue, _log
from soon import SOON


#: A line of its own, a cleared screen, turned text, text of no width, tags, and a filler.
IDS = ["x\n2026-01-01 CRITICAL all is lost", "\x1b[2J", "a\u202eb\u200e\u200f\u061c", "\ufeff\u200b", "\U000e0041", "\u3164"]


@pytest.fixture(params=IDS, ids=ascii)
def ident(request):
    return request.param


def check(line: str, ident: str) -> None:
    shown = [c for c in line if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} or c == "\u3164"]
    assert shown == []
    # Escaped, not left out.
    assert "\\" in line
    assert not ident.startswith("x") or '"x\\n2026-01-01 CRITICAL all is lost"' in line


def test_ids_in_the_log_of_connections(ident, caplog):
    with caplog.at_level(logging.DEBUG, "masep"), masep.Server("engine", "127.0.0.1:0") as server:
        with masep.connect("pymasep://{}:{}".format(*server.address), id=ident):
            engine = server.accept(SOON)
            assert engine.peer == ident
            engine.close()
    about_it = [record.getMessage() for record in caplog.records if "engine" not in record.getMessage()]
    assert len(about_it) == 2
    for message in about_it:
        check(message, ident)


def test_ids_in_the_log_file_of_a_server(ident, directory):
    server = Server("engine", 5, SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", 0, log_level=logging.DEBUG)
    server.wait_connection()
    with socket.create_connection(server.socket.getsockname()) as peer:
        hello = ident.encode()
        peer.sendall(len(hello).to_bytes(2, "little") + hello + b"\x03\x00BYE")
        while peer.recv(100):
            pass
    server.get_connection(ident).join(SOON)
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)
    lines = (directory / "logs" / "Server-engine.log").read_text().splitlines()
    connected = [line for line in lines if "connected from" in line]
    assert len(connected) == 1
    check(connected[0], ident)
    # No line but those of the format.
    assert all(" - masep.communication.Server - " in line for line in lines)


def test_ids_in_the_log_file_of_a_client(ident, directory):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            peer, _address = listening.accept()
            with peer:
                hello = ident.encode()
                peer.sendall(len(hello).to_bytes(2, "little") + hello)
                while peer.recv(100):
                    pass

        serving = threading.Thread(target=serve)
        serving.start()
        port = listening.getsockname()[1]
        client = Client("agent", SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", port, log_level=logging.DEBUG)
        client.connect()
        client.get_connection(ident).socket.close()
        serving.join(SOON)
    lines = (directory / "logs" / "Client-agent.log").read_text().splitlines()
    connected = [line for line in lines if "connected to" in line]
    assert len(connected) == 1
    check(connected[0], ident)


def test_ids_in_representations(ident):
    with masep.Server("engine", "127.0.0.1:0") as server:
        with masep.connect("pymasep://{}:{}".format(*server.address), id=ident):
            check(repr(server.accept(SOON)), ident.removeprefix("x"))

    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            async with masep.aio.connect("pymasep://{}:{}".format(*server.address), id=ident):
                check(repr(await server.accept()), ident.removeprefix("x"))

    asyncio.run(asyncio.wait_for(main(), SOON))


CHILD = """
import os, signal, sys, threading
from masep.communication import _log

log = _log.logger("Server", "forked", "WARNING")
ended = []
def fork():
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        _log.caused_by_peer(log, 30, "in the child")
        os._exit(0)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
forking = threading.Thread(target=fork)
with _log._pacing.lock:
    # As another thread than the one that forks may have it.
    forking.start()
    forking.join()
sys.exit(ended[0])
"""


def test_a_child_that_was_forked_while_something_was_logged_logs_too(tmp_path):
    ended = subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, timeout=50)
    assert ended.returncode == 0
    assert "in the child" in (tmp_path / "logs" / "Server-forked.log").read_text()
