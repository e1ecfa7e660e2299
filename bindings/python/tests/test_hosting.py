"""docs/hosting.md with a player in Python, beside those of the program."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHAPTER = Path(__file__).parents[3] / "docs" / "hosting.md"
PATIENCE = 60


class Host:
    """A directory that was empty, and the chapter's commands in it, with another host and port."""

    def __init__(self, directory: Path):
        self.directory = directory
        # The chapter has a fixed port. Nobody else gets one that is bound, and the server shares it.
        self.held = socket.socket()
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.held.bind(("127.0.0.1", 0))
        self.port = self.held.getsockname()[1]
        binaries = Path(os.environ["MASEP_BIN"]).resolve().parent
        self.environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL)

    def shell(self, commands: str) -> subprocess.Popen[bytes]:
        commands = commands.replace("0.0.0.0:60443", f"127.0.0.1:{self.port}")
        commands = commands.replace("engine.example.org:60443", f"localhost:{self.port}")
        return self.start("sh", "-ec", commands.replace("engine.example.org", "localhost"))

    def read(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def until(self, name: str, part: str) -> None:
        end = time.monotonic() + PATIENCE
        while part not in self.read(name):
            assert time.monotonic() < end, f"no {part} in {name}: {self.read(name)}"
            time.sleep(0.01)


@pytest.mark.skipif("MASEP_BIN" not in os.environ, reason="MASEP_BIN does not say where the program masep is")
def test_the_players_of_the_chapter_on_hosting_are_a_program_and_a_python_one(tmp_path):
    blocks = re.findall(r"```(sh|python)\n(.*?)```", CHAPTER.read_text(), re.DOTALL)
    prepare, serve, play, watch, *_ = (text for language, text in blocks if language == "sh")
    [player] = (text for language, text in blocks if language == "python")
    host = Host(tmp_path)
    assert host.shell(prepare).wait(PATIENCE) == 0
    started = [host.shell(serve)]
    try:
        host.until("events", '"event":"listening"')
        started.append(host.shell(watch))
        host.until("events", '"event":"spectators"')
        started += [host.shell(play), host.start(sys.executable, "-c", player)]
        assert [process.wait(PATIENCE) for process in started] == [0, 0, 0, 0]
    finally:
        for process in started:
            process.kill()
        host.held.close()
    assert host.read("events").count('"how":"played"') == 6
    assert host.read("seen.red").count('"event":"turn"') == 3
