"""A whole game between a real engine and interfaces, and the recording of one among pymasep's own."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import peers
import search_port
from notation import parse
from vectors import load

ENGINE = "engine-é"
GAME = "lanterns.game.LanternsGame"
SEED = 3
#: In this order they join; an actor's place in the game follows from it. One id is no ASCII.
INTERFACES = {"looker": "observer", "actor-漢": "actor", "actor-2": "actor"}
ACTORS = [ident for ident, role in INTERFACES.items() if role == "actor"]


@dataclass
class Seat:
    """The frames that one interface got, the states that it read in them, and the actions that it sent."""

    role: str
    frames: list[bytes] = field(default_factory=list)
    observations: list[peers.Event] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)


@dataclass
class Recording:
    """A finished game: the seats by the interfaces' ids, and the engine's result."""

    seats: dict[str, Seat]
    result: dict[str, Any]


def opening() -> bytes:
    """An observation of the game before anybody has joined, for an engine that is none.

    A real interface must see one before END: an END that comes before it has entered its loop is lost to it.
    """
    return next(bytes.fromhex(case["bytes_hex"]) for case in load("encode.jsonl") if case["name"] == "scene/empty info")


def observation_of(body: bytes) -> Element | None:
    """The state in an observation's frame; None for any other message."""
    return parse(body).find("dict/item[@key='observation']/State")


@contextmanager
def engine(directory: Path) -> Iterator[tuple[peers.Peer, int]]:
    """The real engine, waiting for `ACTORS`; and its port. Within a turn at the search port."""
    command = (
        "lanterns.run_engine",
        "--id",
        ENGINE,
        "--seed",
        str(SEED),
        "--players",
        str(len(ACTORS)),
    )
    with search_port.started_alone(lambda: peers.python(*command, cwd=directory)) as peer:
        yield peer, peer.expect("ready")["port"]


@contextmanager
def interface(ident: str, port: int | None, directory: Path) -> Iterator[peers.Peer]:
    """A real interface in its role; without a port it searches the LAN."""
    where = [] if port is None else ["--port", str(port)]
    command = ["--id", ident, "--role", INTERFACES[ident], *where]
    with peers.python("lanterns.run_interface", *command, cwd=directory) as peer:
        yield peer


@contextmanager
def interface_as_is(role: str, port: int, directory: Path, host: str = "127.0.0.1") -> Iterator[peers.Peer]:
    """A real interface with pymasep's default configuration: it has an id of its own, and skips observations."""
    command = ["--id", "", "--role", role, "--host", host, "--port", str(port), "--as-is"]
    with peers.python("lanterns.run_interface", *command, cwd=directory) as peer:
        yield peer


def record(directory: Path) -> Recording:
    """A game among pymasep's own."""
    with engine(directory) as (host, port):
        return play(host, port, directory)


def record_once(shared: Path) -> Recording:
    """The same game for all processes of a run of this suite, which have that directory: the first one plays it."""
    with search_port.turn():
        kept = shared / "recording.pickle"
        if kept.exists():
            recording: Recording = pickle.loads(kept.read_bytes())
            return recording
        directory = shared / "recording"
        directory.mkdir()
        recording = record(directory)
        kept.write_bytes(pickle.dumps(recording))
        return recording


def play(host: peers.Peer, port: int, directory: Path) -> Recording:
    """Plays a game of real interfaces that connect to `port`; keeps all that they received and sent."""
    with ExitStack() as stack:
        players = {}
        for ident in INTERFACES:
            players[ident] = stack.enter_context(interface(ident, port, directory))
            # One after the other: the order of joining is the order of playing.
            players[ident].put_back(players[ident].expect("frame"))
        seats = {ident: _seat(ident, player) for ident, player in players.items()}
        result = host.expect("ended")["result"]
        assert host.wait() == 0
    return Recording(seats, result)


def _seat(ident: str, player: peers.Peer) -> Seat:
    seat = Seat(INTERFACES[ident])
    for event in player.events():
        if event["event"] == "frame":
            seat.frames.append(bytes.fromhex(event["hex"]))
        elif event["event"] == "observation":
            seat.observations.append(event)
        elif event["event"] == "action":
            seat.actions.append(event["xml"])
    assert player.wait() == 0
    return seat
