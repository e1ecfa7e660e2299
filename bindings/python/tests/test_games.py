"""Whole games of the real pymasep: its engine and its interfaces, each in a process of its own, unchanged
and by `python -m masep.monkey`. They go as they go without masep."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path

import peers
import pytest
import search_port
from lanterns import session

ENGINE, INTERFACE = "lanterns.run_engine", "lanterns.run_interface"

#: As those of `peers.python`; but the package masep is to be found before the `masep` of these programs.
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([sysconfig.get_path("purelib"), str(peers.HERE)]),
    "PYTHONHASHSEED": "0",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}

#: Where the engine finds the class that its interfaces name: it does not import a game itself.
MONKEY = ["-m", "masep.monkey", "--allow-type", session.GAME]


def play(directory, monkeypatch, is_patched):
    """A game with masep in those programs that `is_patched` says, by their module and arguments."""
    started = []

    @contextmanager
    def python(module, *arguments, cwd):
        own = cwd / f"{module}-{time.monotonic_ns()}"
        own.mkdir()
        patched = is_patched(module, arguments)
        command = [sys.executable, *(MONKEY if patched else ()), "-m", module, *arguments]
        with peers.started(command, own, ENVIRONMENT) as peer:
            ready = peer.expect("ready" if module == ENGINE else "connected")
            # The test looks whether masep is in it, and does not take that for granted.
            assert ("_masep." in Path(f"/proc/{peer.pid}/maps").read_text()) == patched
            peer.put_back(ready)
            started.append((module, patched))
            yield peer

    monkeypatch.setattr(peers, "python", python)
    with search_port.turn():
        recording = session.record(directory)
    assert len(started) >= 1 + len(session.INTERFACES)
    return recording


@pytest.fixture(scope="module")
def unpatched(tmp_path_factory):
    """The game as it goes without masep."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return play(tmp_path_factory.mktemp("unpatched"), monkeypatch, lambda *_: False)


def test_the_game_without_masep_is_a_whole_one(unpatched):
    """The game with which the others are compared: many observations, all kinds of actions, an end."""
    assert unpatched.result["steps"] >= 20
    for seat in unpatched.seats.values():
        assert b'msg_type="end"' in seat.frames[-1]
        assert len(seat.observations) == len(seat.frames) - 1
        assert seat.observations[-1]["is_final"] is True
    kinds = {action.partition('type="')[2][0] for seat in unpatched.seats.values() for action in seat.actions}
    assert kinds == {"1", "2", "4"}


@pytest.mark.parametrize(
    "is_patched",
    [
        pytest.param(lambda module, _: module == ENGINE, id="engine"),
        pytest.param(lambda module, _: module == INTERFACE, id="interfaces"),
        pytest.param(lambda *_: True, id="both"),
        pytest.param(lambda _, arguments: session.ACTORS[0] in arguments, id="one interface of three"),
    ],
)
def test_a_game_goes_as_it_goes_without_masep(unpatched, is_patched, tmp_path, monkeypatch):
    """To its end, with the same observations to the byte for every interface, the same actions, and the
    same result."""
    recording = play(tmp_path, monkeypatch, is_patched)
    for ident, seat in unpatched.seats.items():
        assert recording.seats[ident].frames == seat.frames, ident
        assert recording.seats[ident].observations == seat.observations, ident
        assert recording.seats[ident].actions == seat.actions, ident
    assert recording.result == unpatched.result
