"""`masep proxy`: unmodified pymasep at both ends, protocol 2 between them, and a gate before the engine."""

from __future__ import annotations

from typing import Any

import real
from lanterns import session
from masep import Masep
from peers import Peer, python
from sidecar import at_engine, at_interface


def test_a_game_through_both_proxies_is_the_same_to_the_byte(
    masep: Masep, recording: session.Recording, search_turn: None
) -> None:
    with (
        session.engine(masep.directory) as (engine, port),
        at_engine(masep, port) as (_, far),
        at_interface(masep, f"127.0.0.1:{far}") as (_, near),
    ):
        assert session.play(engine, near, masep.directory) == recording


def define(ident: str, game: str = session.GAME) -> dict[str, Any]:
    return {"msg_type": "define", "src_sub_app": ident, "params": {"game": {"$type": game}}}


def register(ident: str, **params: Any) -> dict[str, Any]:
    return {"msg_type": "register", "src_sub_app": ident, "params": params}


def joined(ident: str, role: str) -> list[dict[str, Any]]:
    return [define(ident), register(ident, id=ident, queue_id=0, role=role)]


def act(ident: str, **params: Any) -> dict[str, Any]:
    return {"msg_type": "action", "src_sub_app": ident, "params": params or None}


def parameter(value: str) -> dict[str, str]:
    return {"$xml": f'<Action type="1"><ActionParameter name="step">{value}</ActionParameter></Action>'}


#: Messages that end pymasep's engine, or the game for the others: those that a client sends before, the message
#: itself, and the code of the answer.
KILLERS: dict[str, tuple[list[dict[str, Any]], Any, str]] = {
    "REGISTER first": ([], register("k", id="k", queue_id=0, role="Observer"), "not_defined"),
    "a module that is missing": ([], define("k", "no.such.Game"), "unknown_game"),
    "a class that is no game": ([], define("k", "unittest.case.TestCase"), "unknown_game"),
    "an empty frame": ([], "", "no_message"),
    "no XML": ([], b"\xff\x00 no".hex(), "no_message"),
    "no msg_type": ([], b'<Message src_sub_app="k" />'.hex(), "no_message"),
    "no role": ([define("k")], register("k", id="k", queue_id=0), "unknown_role"),
    "another's id": ([define("k")], register("k", id="looker", queue_id=5, role="Observer"), "not_yours"),
    "QUIT of an observer": (joined("k", "Observer"), {"msg_type": "quit", "src_sub_app": "k"}, "quit_denied"),
    "an observer acts": (joined("k", "Observer"), act("k", action=parameter("<int>1</int>")), "not_a_player"),
    "in another's name": (joined("k", "Observer"), act("actor-2", action=parameter("<int>1</int>")), "not_yours"),
    "QUIT of an actor": (joined("a", "Actor"), {"msg_type": "quit", "src_sub_app": "a"}, "quit_denied"),
}
#: Actions that end the engine, of an actor that is asked.
BAD_ACTIONS: dict[str, dict[str, Any]] = {
    "no parameters": act("a"),
    "no action": act("a", deed=1),
    "an int": act("a", action=1),
    "a bad type": act("a", action={"$xml": '<Action type="x" />'}),
    "a float": act("a", action=parameter("<float>0.5</float>")),
    "a class to import": act("a", action=parameter("<str>&lt;class 'no.such.Class'&gt;</str>")),
    "an object to import": act("a", action=parameter("<no.such.Thing />")),
    "a character that expat does not read": act("a", action=parameter("<str>\u0001</str>")),
}


def say(client: Peer, message: Any) -> None:
    client.send({"bytes_hex": message} if isinstance(message, str) else {"message": message})


def test_no_message_of_a_client_ends_the_engine_or_the_game_of_others(masep: Masep, search_turn: None) -> None:
    with (
        session.engine(masep.directory) as (engine, port),
        at_engine(masep, port) as (proxy, far),
    ):
        for name, (before, killer, code) in KILLERS.items():
            ident = "a" if name == "QUIT of an actor" else "k"
            with masep.run("join", f"masep://127.0.0.1:{far}", "--id", ident) as client:
                assert client.expect("connected")["peer"] == session.ENGINE
                for message in before:
                    say(client, message)
                if len(before) == 2:
                    client.expect("message")
                say(client, killer)
                denied = proxy.expect("denied")
                assert denied["code"] == code, f"{name}: {denied}"
                if code in ("unknown_game", "unknown_role") or "id" in name:
                    assert client.expect("closed")["code"] == code
                if ident == "a":
                    for what, action in BAD_ACTIONS.items():
                        say(client, action)
                        told = proxy.expect("denied")["code"]
                        assert told in ("bad_action", "no_action", "unreadable"), f"{what}: {told}"
        # A client that has had an agent does not get a second one, which would be one too many.
        with masep.run("join", f"masep://127.0.0.1:{far}", "--id", "a") as client:
            for message in joined("a", "Actor"):
                say(client, message)
            assert client.expect("closed")["code"] == "gone"
        for ident, expected in (("b", "message"), ("c", "closed")):
            with masep.run("join", f"masep://127.0.0.1:{far}", "--id", ident) as client:
                for message in joined(ident, "Actor"):
                    say(client, message)
                assert client.expect(expected).get("code") == ("full" if ident == "c" else None)
        # The engine reads and answers: it is a live one.
        options = ("--id", "looker", "--role", "observer", "--game", session.GAME)
        with masep.run("join", f"masep://127.0.0.1:{far}", *options) as looker:
            assert looker.expect("message")["message"]["msg_type"] == "observation"
        assert engine.is_running()


def test_the_gate_holds_for_pymaseps_own_clients_too(masep: Masep, search_turn: None) -> None:
    with (
        session.engine(masep.directory) as (engine, port),
        at_engine(masep, port) as (_, far),
        at_interface(masep, f"127.0.0.1:{far}") as (near_proxy, near),
    ):
        with real.client(masep, near, "k") as client:
            client.send({"frame": b"".hex()})
            assert near_proxy.expect("denied")["code"] == "no_message"
            client.send({"frame": b'<Message msg_type="end" src_sub_app="k" />'.hex()})
            assert near_proxy.expect("denied")["code"] == "not_defined"
        with session.interface("looker", near, masep.directory) as looker:
            looker.expect("observation")
        assert engine.is_running()


def test_a_client_that_has_registered_and_left_does_not_stop_the_engine(masep: Masep) -> None:
    """pymasep's engine waits for ever behind 278 frames to one whose connection is closed."""
    with python("programs.server", "--id", session.ENGINE, cwd=masep.directory) as engine:
        with at_engine(masep, engine.expect("ready")["port"]) as (proxy, far):
            with masep.run("join", f"masep://127.0.0.1:{far}", "--id", "k") as client:
                client.expect("connected")
                for message in joined("k", "Observer"):
                    say(client, message)
                    engine.expect("frame")
            proxy.expect("ended")
            engine.send({"to": "k", "burst": [1_000, 600]})
            with masep.run("join", f"masep://127.0.0.1:{far}", "--id", "l") as client:
                client.expect("connected")
                for message in joined("l", "Observer"):
                    say(client, message)
                    engine.expect("frame")
                engine.send({"to": "l", "frame": b"it reads and answers".hex()})
                assert bytes.fromhex(client.expect("frame")["bytes_hex"]) == b"it reads and answers"
