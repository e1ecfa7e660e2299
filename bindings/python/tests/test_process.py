"""Signals, forks, and the end of the interpreter; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPEN = """
import os, queue, signal, sys, threading, time
import masep
import masep.communication as communication
server = masep.Server("engine", "127.0.0.1:0")
address = "{}:{}".format(*server.address)
agent = masep.connect(address, id="agent")
engine = server.accept()
"""


def run(code: str) -> str:
    """What a program prints that ends in order and without a warning."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", OPEN + code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize(
    "call",
    [
        "agent.recv()",
        "agent.recv(60)",
        "server.accept()",
        "[agent.send(bytes(60_000)) for _ in range(10_000)]",
        "masep.discover(60)",
    ],
)
def test_ctrl_c_ends_every_wait(call):
    printed = run(
        f"""
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert printed == "interrupted\n"


def test_a_fork_is_told_and_disturbs_nobody():
    printed = run(
        """
child = os.fork()
if child == 0:
    for call in (lambda: agent.send(b"x"), agent.recv, server.accept):
        try:
            call()
        except masep.CallerError:
            print("refused", flush=True)
    del agent, engine, server
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
agent.send(b"after")
assert engine.recv(10) == b"after"
"""
    )
    assert printed == "refused\n" * 3


def test_an_exit_with_live_connections_says_bye(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(
        """
listening = communication.Server("drop-in", 5, communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", 0)
listening.wait_connection()
port = listening.socket.getsockname()[1]
clients = []
for number in range(3):
    client = communication.Client(str(number), communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", port)
    client.connect()
    clients.append(client)
threading.Thread(target=agent.recv, daemon=True).start()
"""
    )


def test_an_import_brings_nothing_along():
    code = (
        "import sys; before = set(sys.modules); import masep, masep.aio, masep.monkey; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert printed.stdout == "['masep']\n", printed.stderr


PATCHED = """
import pymasep.communication, pymasep.communication.message, pymasep.engine.engine, pymasep.interface.interface
import masep.communication
assert pymasep.communication.Server is masep.communication.Server
assert pymasep.communication.message.Message is masep.communication.Message
assert pymasep.engine.engine.Server is masep.communication.Server
assert pymasep.interface.interface.Client is masep.communication.Client
"""


@pytest.mark.parametrize("before", ["", "import pymasep.engine.engine, pymasep.interface.interface;"])
def test_pymasep_is_patched_before_or_after_its_import(before):
    code = before + "import masep.monkey; masep.monkey.patch_pymasep()\n" + PATCHED
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_script_runs_on_a_patched_pymasep(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PATCHED + "import sys; print(sys.argv[1:])")
    command = [sys.executable, "-m", "masep.monkey", str(script), "--an", "argument"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("['--an', 'argument']\n")


def test_a_patch_that_comes_too_late_says_so():
    code = (
        "import pymasep.communication\n"
        "class Handler(pymasep.communication.SocketHandler): pass\n"
        "import masep.monkey\n"
        "try: masep.monkey.patch_pymasep()\n"
        "except masep.CallerError as error: print(error)\n"
        "assert not masep.monkey.is_patched()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "__main__.Handler" in ended.stdout, ended.stderr
