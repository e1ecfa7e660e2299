"""The main job: whole games between masep and the real pymasep, to the end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from xml.etree import ElementTree

from lanterns import policy, session
from masep import Masep
from notation import canonical, parse, read
from peers import Peer
from real import of_peer


def messages_of(player: Peer) -> Iterator[dict[str, Any]]:
    """All messages that come out of `masep join` until it ends; anything else fails the test."""
    for event in player.events():
        if event["event"] == "message":
            assert event["peer"] == session.ENGINE
            yield event["message"]
        else:
            assert event["event"] == "closed" and event["reason"] == "local_bye", event


def play(player: Peer, ident: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Plays one `masep join` to the end of its game; what it got, and the actions it sent."""
    got, actions = [], []
    for message in messages_of(player):
        got.append(message)
        if message["msg_type"] != "observation":
            continue
        move = policy.choose(parse(message["params"]["observation"]["$xml"].encode()), ident)
        if move is not None:
            xml = ElementTree.tostring(move.to_xml(), encoding="unicode")
            actions.append(xml)
            player.send({"message": {"msg_type": "action", "params": {"action": {"$xml": xml}}}})
    return got, actions


def test_the_recording_is_a_whole_game(recording: session.Recording) -> None:
    """The game on which the other tests stand: observations to the final one, END, actions of every kind."""
    assert recording.result["steps"] >= 20
    for ident, seat in recording.seats.items():
        states = [session.observation_of(frame) for frame in seat.frames]
        assert states[-1] is None and b'msg_type="end"' in seat.frames[-1], ident
        assert [state.get("is_final") for state in states[:-1]] == ["False"] * (len(states) - 2) + ["True"], ident
    kinds = {parse(xml.encode()).get("type") for seat in recording.seats.values() for xml in seat.actions}
    assert kinds == {"1", "2", "4"}
    frames = {frame for seat in recording.seats.values() for frame in seat.frames}
    assert len(frames) > 60, "an actor does not see what an observer sees"


def test_masep_interfaces_play_the_real_engine_to_its_end(
    masep: Masep, recording: session.Recording, search_turn: None
) -> None:
    with session.engine(masep.directory) as (engine, port), ExitStack() as stack:
        players = {}
        for ident, role in session.INTERFACES.items():
            player = stack.enter_context(masep.join(port, ident, "--role", role, "--game", session.GAME))
            players[ident] = player
            player.put_back(player.expect("message"))
        with ThreadPoolExecutor(len(players)) as pool:
            games = {ident: pool.submit(play, player, ident) for ident, player in players.items()}
        for ident, seat in recording.seats.items():
            got, actions = games[ident].result()
            assert masep.encode(got) == seat.frames, f"{ident}: not the bytes that a pymasep interface receives"
            assert [canonical(one) for one in got] == [canonical(read(frame)) for frame in seat.frames]
            assert actions == seat.actions
            assert players[ident].wait() == 0
        assert engine.expect("ended")["result"] == recording.result
        assert engine.wait() == 0, "the engine's process ends only after every interface's BYE"


class ScriptedEngine:
    """`masep serve` made to play a recorded game by its lines."""

    def __init__(self, host: Peer, recording: session.Recording) -> None:
        self._host = host
        self._recording = recording

    def welcome(self, ident: str) -> None:
        """Awaits an interface and the two messages it introduces itself with."""
        assert of_peer(self._host, ident)["event"] == "connected"
        define = of_peer(self._host, ident)["message"]
        assert define == {
            "msg_type": "define",
            "src_sub_app": ident,
            "params": {"game": {"$type": session.GAME}},
        }
        register = of_peer(self._host, ident)["message"]
        assert register["msg_type"] == "register" and register["params"]["role"].lower() == session.INTERFACES[ident]

    def play(self) -> None:
        """Sends every recorded observation, step by step, and awaits each recorded action in its turn."""
        steps: dict[int, dict[str, bytes]] = {}
        actions = {ident: iter(seat.actions) for ident, seat in self._recording.seats.items()}
        for ident, seat in self._recording.seats.items():
            for frame in seat.frames[:-1]:
                steps.setdefault(int(session.observation_of(frame).get("env_step")), {})[ident] = frame
        for _, frames in sorted(steps.items()):
            for ident, frame in frames.items():
                self._host.send({"to": ident, "message": read(frame)})
            for ident, frame in frames.items():
                if policy.choose(session.observation_of(frame), ident) is not None and b'is_final="True"' not in frame:
                    self._await_action(ident, next(actions[ident]))

    def _await_action(self, ident: str, xml: str) -> None:
        event = of_peer(self._host, ident)
        assert event["event"] == "message", event
        assert event["message"] == {
            "msg_type": "action",
            "src_sub_app": ident,
            "params": {"action": {"$xml": xml}},
        }

    def end(self) -> None:
        """END to all at once; each interface answers QUIT and BYE."""
        self._host.send({"to": "*", "message": {"msg_type": "end", "params": None}})
        for ident in session.INTERFACES:
            assert of_peer(self._host, ident)["message"]["msg_type"] == "quit"
            closed = of_peer(self._host, ident)
            assert closed["event"] == "closed" and closed["reason"] == "peer_bye", closed
        self._host.send({"shutdown": True})
        assert self._host.wait() == 0


def test_real_interfaces_play_a_masep_engine_to_its_end(masep: Masep, recording: session.Recording) -> None:
    with masep.serve(ident=session.ENGINE) as (host, port), ExitStack() as stack:
        engine = ScriptedEngine(host, recording)
        players = {}
        for ident in session.INTERFACES:
            players[ident] = stack.enter_context(session.interface(ident, port, masep.directory))
            engine.welcome(ident)
        engine.play()
        engine.end()
        for ident, player in players.items():
            events = list(player.events())
            assert player.wait() == 0
            seat = recording.seats[ident]
            assert [bytes.fromhex(e["hex"]) for e in events if e["event"] == "frame"] == seat.frames
            assert [e["xml"] for e in events if e["event"] == "action"] == seat.actions
            steps = [e["step"] for e in events if e["event"] == "observation"]
            assert steps == [int(session.observation_of(f).get("env_step")) for f in seat.frames[:-1]]
            assert events[-1] == {"event": "ended"}


def test_interfaces_of_both_protocols_and_a_real_one_play_one_game_to_its_end(
    masep: Masep, recording: session.Recording
) -> None:
    """One server, one port: each sees what it sees among its own kind."""
    (real, _), (new, new_role), (old, old_role) = session.INTERFACES.items()
    with masep.serve(ident=session.ENGINE) as (host, port), ExitStack() as stack:
        engine = ScriptedEngine(host, recording)
        of_pymasep = stack.enter_context(session.interface(real, port, masep.directory))
        engine.welcome(real)
        players = {}
        for ident, role, target in (
            (new, new_role, f"masep://127.0.0.1:{port}"),
            (old, old_role, f"pymasep://127.0.0.1:{port}"),
        ):
            options = ["--id", ident, "--role", role, "--game", session.GAME]
            players[ident] = stack.enter_context(masep.run("join", target, *options))
            assert players[ident].expect("connected").get("protocol") == (2 if ident == new else None)
            engine.welcome(ident)
        with ThreadPoolExecutor(len(players)) as pool:
            games = {ident: pool.submit(play, player, ident) for ident, player in players.items()}
            engine.play()
            engine.end()
        for ident, game in games.items():
            got, actions = game.result()
            seat = recording.seats[ident]
            assert masep.encode(got) == seat.frames, f"{ident}: not what it gets alone"
            assert actions == seat.actions
            assert players[ident].wait() == 0
        events = list(of_pymasep.events())
        assert of_pymasep.wait() == 0
        assert [bytes.fromhex(e["hex"]) for e in events if e["event"] == "frame"] == recording.seats[real].frames
        assert events[-1] == {"event": "ended"}
