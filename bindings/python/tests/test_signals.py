"""Ctrl-C that comes just before a wait of the main thread. The interpreter looks for signals and then waits: one that comes
in between ends no call of the system, and whoever waits without an end never hears of it.

Here another thread gets the signal, which the main one is blocked for: no call of the main thread is ended by it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

OPEN = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
go = threading.Event()
def interrupt():
    go.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
import masep
NEVER = masep.Limits(hello_time=3_600.0)
silent = socket.create_server(("127.0.0.1", 0))
nobody = f"127.0.0.1:{silent.getsockname()[1]}"
"""

CONNECTED = """
server = masep.Server("engine", "127.0.0.1:0")
agent = masep.connect(server.target, id="agent")
engine = server.accept()
"""

TABLE = """
host = masep.Table("any.Game", ["red"], "127.0.0.1:0")
player = masep.join(host.target, id="p", game="any.Game")
"""

SEATED = TABLE + """
threading.Thread(target=list, args=(player,), daemon=True).start()
host.filled()
"""

DROP_IN = """
import logging
import masep.communication as communication
near, far = socket.socketpair()
handler = communication.SocketHandler(near, "address", logging.getLogger("any"))
handler.start()
listening = communication.Server("drop-in", 5, communication.SocketHandler, (), "127.0.0.1", 0)
listening.wait_connection()
"""

ENVIRONMENTS = """
import masep.gymnasium
server = masep.gymnasium.EnvironmentServer("CartPole-v1", "127.0.0.1:0", envs=1)
"""

#: The call that waits in the main thread, what is there before, and what ends that.
WAITS = {
    "recv": ("agent.recv()", CONNECTED, "agent.close()"),
    "accept": ("server.accept()", CONNECTED, "agent.close()"),
    "send": ("[agent.send(bytes(60_000)) for _ in range(10_000)]", CONNECTED, "os._exit(0)"),
    "connect": ("masep.connect(nobody, id='agent', limits=NEVER)", "", "silent.close()"),
    "filled": ("host.filled()", TABLE, "host.end()"),
    "event": ("host.event()", TABLE, "host.end()"),
    "ask": ("host.ask('red', 1)", SEATED, "host.end()"),
    "next turn": ("player.next_turn()", TABLE, "host.end()"),
    "join of a handler": ("handler.join()", DROP_IN, "far.close()"),
    "join of a drop-in server": (
        "listening.wait_connection_thread.join()", DROP_IN, "far.close(), listening.stop_wait_connection()"
    ),
    "environments": ("server.wait()", ENVIRONMENTS, "server.close()"),
    "environments for a while": ("server.wait(3_600)", ENVIRONMENTS, "server.close()"),
    "agents": (
        "masep.pettingzoo.serve('pettingzoo.classic.rps_v2', '127.0.0.1:0')", "import masep.pettingzoo", ""
    ),
    "remote environments": (
        "masep.gymnasium.RemoteVectorEnv(nobody, num_envs=2, limits=NEVER)", "import masep.gymnasium", "silent.close()"
    ),
}  # fmt: skip


def interrupted(call: str, before: str, after: str) -> str:
    """The output of a program whose call is interrupted."""
    main = f"""
{before}
try:
    threading.Timer(0.3, go.set).start()
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
{after}
"""
    # Processes of environments import it.
    code = f"{OPEN}\nif __name__ == '__main__':\n{textwrap.indent(main, '    ')}"
    with open("program.py", "w", encoding="utf-8") as file:
        file.write(code)
    ended = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("name", WAITS)
def test_it_ends_every_wait(name):
    assert interrupted(*WAITS[name]) == "interrupted\n"


def test_it_ends_an_attempt_of_a_player_and_its_block():
    """Such as one to connect to a host that does not answer: nothing waits for the end of it."""
    call = """
    with masep.join(nobody, id="p", game="any.Game", limits=NEVER) as player:
        player.next_turn()
"""
    assert interrupted(call.strip(), "", "assert player.end is None") == "interrupted\n"
