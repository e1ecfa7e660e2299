"""The examples play with each other, and the README files show what they are."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
EXAMPLES = PACKAGE / "examples"
ROOT = PACKAGE.parents[1]

IMPORT = "from masep.communication import"


def text_of(example):
    return (EXAMPLES / example).read_text(encoding="utf-8")


@pytest.fixture
def engine():
    """The engine: its process, and the address on which it listens."""
    command = [sys.executable, str(EXAMPLES / "engine.py"), "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            said, _, address = running.stdout.readline().rstrip().rpartition(" ")
            assert said == "listening on"
            yield running, address
        finally:
            running.kill()


def heard(running, line):
    """Waits for a line, and gives those before it."""
    before = []
    while (said := running.stdout.readline()) != line:
        assert said, f"the engine has ended: {before}"
        before.append(said)
    return before


def play(engine, program):
    """Plays a game to its end."""
    running, address = engine
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    command = [sys.executable, str(program), address]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    return heard(running, "'agent-1' has played\n")


@pytest.mark.parametrize("agent", ["first_agent.py", "first_agent_blocking.py", "drop_in.py"])
def test_an_agent_plays_with_the_engine(engine, agent):
    play(engine, EXAMPLES / agent)


REGISTER = b'<Message msg_type="register" src_sub_app="bad" />'
ACTION = b'<Message msg_type="action" src_sub_app="bad">%b</Message>'


def bad_agent(address, identity, *frames):
    """A bare socket that says this behind its hello."""
    host, port = address.split(":")
    agent = socket.create_connection((host, int(port)))
    for frame in (identity.encode(), *frames):
        agent.sendall(len(frame).to_bytes(2, "little") + frame)
    assert agent.recv(8, socket.MSG_WAITALL) == b"\x06\x00engine"
    return agent


def test_the_engine_survives_agents_that_crash_send_nonsense_or_say_nothing(engine):
    running, address = engine
    agents = {
        "silent from the start": [],
        "silent in the game": [REGISTER],
        "no XML": [REGISTER, b"\0\xff nonsense"],
        "no message": [REGISTER, b"<a />"],
        "nothing": [b""],
        "no class": [REGISTER, ACTION % b'<dict><item key="action"><type>&lt;class \'no.No\'&gt;</type></item></dict>'],
        "no action": [REGISTER, ACTION % b'<dict><item key="a"><int>1</int></item></dict>', b"BYE"],
        "no element": [REGISTER, ACTION % b'<dict><item key="action"><int>1</int></item></dict>', b"BYE"],
        "crashes at once": [],
        "crashes in the game": [REGISTER],
    }
    with contextlib.ExitStack() as stack:
        for identity, frames in agents.items():
            agent = stack.enter_context(bad_agent(address, identity, *frames))
            if identity.startswith("crashes"):
                agent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                agent.close()
        said = play(engine, EXAMPLES / "first_agent.py")
        while len(said) < len(agents):
            said.append(running.stdout.readline())
        out = {line.split("' ")[0].removeprefix("'") for line in said}
        assert out == set(agents), said
        assert all("' is out: " in line or "' has left" in line for line in said), said
        play(engine, EXAMPLES / "first_agent.py")


def test_one_import_is_the_difference_to_pymasep(engine, tmp_path):
    """With pymasep's import the drop-in example is a program of pymasep: it plays too."""
    assert text_of("drop_in.py").count("masep") == 1
    program = tmp_path / "with_pymasep.py"
    program.write_text(text_of("drop_in.py").replace(IMPORT, "from pymasep.communication import"))
    play(engine, program)


def test_a_first_agent_has_fifteen_lines():
    for example in ("first_agent.py", "first_agent_blocking.py"):
        assert len([line for line in text_of(example).splitlines() if line]) <= 15, example


SHOWN = {
    PACKAGE / "README.md": ["drop_in.py", "table.py", "player.py", "first_agent.py", "first_agent_blocking.py", "engine.py", "tictactoe_player.py", "exit_on_signals.py"],
    ROOT / "README.md": ["table.py", "player.py"],
}


@pytest.mark.parametrize("readme", SHOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_shown_is_what_is_run(readme):
    blocks = re.findall(r"```python\n(.*?)```\n", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks == [text_of(example) for example in SHOWN[readme]]
