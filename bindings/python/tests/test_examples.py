"""The examples play with each other, and the README files show what they are."""

from __future__ import annotations

import os
import re
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


@pytest.fixture(scope="module")
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


def play(engine, program):
    """Plays a game to its end."""
    running, address = engine
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    command = [sys.executable, str(program), address]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert running.stdout.readline() == "agent-1 has played\n"


@pytest.mark.parametrize("agent", ["first_agent.py", "first_agent_blocking.py", "drop_in.py"])
def test_an_agent_plays_with_the_engine(engine, agent):
    play(engine, EXAMPLES / agent)


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
    PACKAGE / "README.md": ["drop_in.py", "first_agent.py", "first_agent_blocking.py", "engine.py"],
    ROOT / "README.md": ["first_agent.py"],
}


@pytest.mark.parametrize("readme", SHOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_shown_is_what_is_run(readme):
    blocks = re.findall(r"```python\n(.*?)```\n", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks == [text_of(example) for example in SHOWN[readme]]
