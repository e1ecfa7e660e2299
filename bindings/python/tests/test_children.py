"""The end of processes that a program starts: they send ``BYE`` on each connection that they opened, and
nothing on those of the program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from soon import SOON

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

#: The ways to start a process that does `child`, and to wait for it.
CHILDREN = {
    "fork": "run(multiprocessing.get_context('fork').Process(target=child))",
    "forkserver": "run(multiprocessing.get_context('forkserver').Process(target=child))",
    "spawn": "run(multiprocessing.get_context('spawn').Process(target=child))",
    "fork in a fork": "run(multiprocessing.get_context('fork').Process(target=parent_of_child))",
    "pool": "in_pool(child)",
    "os.fork": "os.fork() and os.wait() or sys.exit(child())",
}

#: The ways in which that process ends.
ENDS = {"returns": "return", "raises": "raise OSError('on purpose')", "exits": "sys.exit(3)"}

#: The connections that it opens.
OPENED = {
    "masep": """
    kept = masep.connect(f"pymasep://127.0.0.1:{port}", id="child")
    kept.send(b"last")
    threading.Thread(target=kept.recv, daemon=True).start()
""",
    "masep.aio": """
    async def main():
        kept = await masep.aio.connect(f"pymasep://127.0.0.1:{port}", id="child")
        await kept.send(b"last")
        return kept
    kept = asyncio.run(main())
""",
    "masep.communication": """
    kept = Client("child", SocketHandler, (), "127.0.0.1", port)
    kept.connect()
    kept.send_frame_to("engine", Frame(b"last"))
""",
}

PROGRAM = """
import asyncio, concurrent.futures, multiprocessing, os, sys, threading
import masep, masep.aio
from masep.communication import Client, Frame, SocketHandler

parents_port, port = int(sys.argv[1]), int(sys.argv[2])

def child():
    global kept
    {opened}
    {ends}

def run(process):
    process.start()
    process.join()

def parent_of_child():
    run(multiprocessing.get_context("fork").Process(target=child))

def in_pool(call):
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(call).exception()

if __name__ == "__main__":
    own = masep.connect(f"pymasep://127.0.0.1:{{parents_port}}", id="parent")
    {started}
    own.send(b"alive")
"""


def listen() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(SOON)
    return listening


def accept(listening: socket.socket) -> socket.socket:
    peer, _address = listening.accept()
    peer.settimeout(SOON)
    peer.sendall(b"\x06\x00engine")
    return peer


def read_all(peer: socket.socket) -> bytes:
    heard = b""
    while more := peer.recv(100):
        heard += more
    return heard


def check(opened: str, started: str, ends: str) -> None:
    with open("program.py", "w") as file:
        file.write(PROGRAM.format(opened=opened, started=started, ends=ends))
    with listen() as parents, listen() as children:
        ports = [str(listening.getsockname()[1]) for listening in (parents, children)]
        command = [sys.executable, "program.py", *ports]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            try:
                with accept(parents) as parent, accept(children) as child:
                    assert read_all(child) == b"\x05\x00child\x04\x00last\x03\x00BYE"
                    # A child that ended it would have said BYE before.
                    assert read_all(parent) == b"\x06\x00parent\x05\x00alive\x03\x00BYE"
            except BaseException:
                running.kill()
                raise
            assert running.wait(SOON) == 0, running.stderr.read()


@pytest.mark.parametrize("started", CHILDREN)
@pytest.mark.parametrize("opened", OPENED)
def test_a_process_that_was_started_says_bye_where_it_has_connected_and_nowhere_else(started, opened):
    check(OPENED[opened], CHILDREN[started], "return")


@pytest.mark.parametrize("started", ["fork", "pool", "os.fork"])
@pytest.mark.parametrize("ends", ENDS)
def test_a_process_that_was_started_says_bye_however_it_ends(started, ends):
    check(OPENED["masep"], CHILDREN[started], ENDS[ends])


def test_a_server_of_a_process_that_was_started_says_bye():
    code = """
import multiprocessing, masep, threading

def serve(ports):
    server = masep.Server("engine", "127.0.0.1:0")
    ports.put(server.address[1])
    global kept
    kept = server.accept()
    kept.send(b"last")
    threading.Thread(target=kept.recv, daemon=True).start()

context = multiprocessing.get_context("fork")
ports = context.SimpleQueue()
process = context.Process(target=serve, args=(ports,))
process.start()
print(ports.get(), flush=True)
process.join()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as running:
        with socket.create_connection(("127.0.0.1", int(running.stdout.readline()))) as peer:
            peer.settimeout(SOON)
            peer.sendall(b"\x05\x00agent")
            assert read_all(peer) == b"\x06\x00engine\x04\x00last\x03\x00BYE"
        assert running.wait(SOON) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("opened", ["masep", "masep.aio"])
def test_a_signal_is_heard_by_the_peer_of_a_program_that_makes_an_exit_of_it(opened, number):
    waiting = {
        "masep": """
kept = masep.connect(address, id="agent", protocol=1)
kept.send(b"last")
kept.recv()
""",
        "masep.aio": """
async def main():
    async with masep.aio.connect(address, id="agent", protocol=1) as kept:
        await kept.send(b"last")
        await kept.recv()
asyncio.run(main())
""",
    }
    code = f"""
import asyncio, sys
import exit_on_signals, masep, masep.aio
address = f"127.0.0.1:{{sys.argv[1]}}"
{waiting[opened]}
"""
    with listen() as listening:
        command = [sys.executable, "-c", code, str(listening.getsockname()[1])]
        with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(EXAMPLES)}) as running:
            with accept(listening) as peer:
                heard = peer.recv(100)
                while not heard.endswith(b"last"):
                    heard += peer.recv(100)
                running.send_signal(number)
                assert read_all(peer) == b"\x03\x00BYE"
            assert running.wait(SOON) == 128 + number
