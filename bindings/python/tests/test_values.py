"""The values that programs keep: compared, shown, copied, and pickled, as `multiprocessing` does it."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from soon import SOON

import masep
from masep import Array, Message, TypeName
from masep.gymnasium import LostEnvironment, RemoteError


def read(message):
    """The same, as it is when it has arrived and nobody has looked at its parameters."""
    arrived = Message("", None, "")
    arrived.from_cbor(message.to_cbor())
    return arrived


def element():
    element = Element("A", x="1")
    element.append(Element("B"))
    element[0].tail = "t"
    return element


PLAIN = Message("define", {"a": [1, (2.5,), {3}], "game": TypeName("m.C")}, "me")

VALUES = {
    "message": lambda: PLAIN,
    "message with an element": lambda: Message("action", {"action": element()}, "me"),
    "message with arrays": lambda: Message("a", {"n": np.arange(6).reshape(2, 3), "x": float("nan")}, "me"),
    "message that was read": lambda: read(Message("a", {"b": 1, "action": element()}, "me")),
    "message of pymasep's names": lambda: masep.communication.Message("a", {"b": [1]}, "me"),
    "array": lambda: Array((2, 2), "uint8", b"abcd"),
    "frame": lambda: masep.Frame(b"abc"),
    "name": lambda: TypeName("m.C"),
    "bye": lambda: masep.Bye("done", "thanks", True),
    "hello": lambda: masep.Hello("a", token="secret", make={"look": True}),
    "notice": lambda: masep.Notice("late", about={"turn": 7}),
    "welcome": lambda: masep.Welcome(seat="red", resume="secret", profile="environment/1"),
    "peer limits": lambda: masep.PeerLimits(2, 65_536),
    "limits": lambda: masep.Limits(depth=64, idle_time=1.5),
    "server limits": lambda: masep.ServerLimits(connections=3),
    "socket options": lambda: masep.SocketOptions(busy_poll=0.1),
    "found server": lambda: masep.FoundServer("h", 1, "e", None, 2, 1),
    "grant": lambda: masep.Grant("ann", roles=["actor"]),
    "last": lambda: masep.Last(1, "played", None, 0.1),
    "player event": lambda: masep.PlayerEvent("joined", seat="red"),
    "move": lambda: masep.Move("red", {"n": 1}, "played", None, 1, 0),
    "seat": lambda: masep.Seat("red", "a", "present", 0),
    "table event": lambda: masep.TableEvent("seated", "red"),
    "view": lambda: masep.View({"left": 3}, reward=0.5),
}

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_another_one_and_equal(name, how):
    value, again = VALUES[name](), COPIES[how](VALUES[name]())
    assert again is not value and type(again) is type(value)
    assert again == value and not again != value
    assert value != "another" and value is not None
    # Of those that can be hashed, equal ones are the same in a dict.
    try:
        number = hash(value)
    except TypeError as error:
        assert "unhashable" in str(error)
    else:
        assert hash(again) == number


@pytest.mark.parametrize("name", VALUES)
def test_what_is_shown_has_no_secret(name):
    assert "secret" not in repr(VALUES[name]())


def test_messages_are_equal_if_they_say_the_same():
    first, second = (Message("a", {"x": element(), "n": 1}, "me") for _ in range(2))
    assert first == second and read(first) == second and read(first) == read(second)
    first.params["x"].set("x", "2")
    assert first != second
    assert Message("a", {"x": np.zeros(3)}, "me") == Message("a", {"x": np.zeros(3)}, "me")
    for other in (
        Message("a", {"x": np.zeros(3, "float32")}, "me"),
        Message("a", {"x": np.zeros((1, 3))}, "me"),
        Message("b", {"x": np.zeros(3)}, "me"),
        Message("a", {"x": np.zeros(3)}, "you"),
        Message("a", None, "me"),
        # One that cannot be sent is equal to none but itself.
        Message("a", {"x": object()}, "me"),
    ):
        assert Message("a", {"x": np.zeros(3)}, "me") != other
        assert other != Message("a", {"x": np.zeros(3)}, "me")


class Own(masep.TransportError):
    """A user's exception, with arguments of its own."""

    def __init__(self, number, *, color):
        super().__init__(f"{number} {color}", "own", "code")
        self.number, self.color = number, color


EXCEPTIONS = [
    masep.MasepError("t"),
    masep.CallerError("t"),
    masep.UnsupportedError("t", "p", 2),
    masep.PeerError("t", "syntax", (1, 2)),
    masep.TransportError("t", "ended", "gone", "x"),
    masep.LimitError("t", "depth", 2, 1),
    masep.UndeliveredError("t", 1, {"a": masep.LimitError("u", "depth", 3, 1)}),
    masep.RefusedError("t", "refused"),
    masep.RejectedError("t", "rejected", "full", "x", 1.5),
    masep.TimedOut("t"),
    RemoteError("ValueError", "no", "Traceback"),
    LostEnvironment("t", "io", 3),
    Own(7, color="red"),
]


def told(error):
    """All that an exception says."""
    facts = {**error.__dict__, "peers": [*map(told, getattr(error, "peers", {}).values())]}
    return type(error), str(error), error.args, facts


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", COPIES)
def test_an_exception_says_the_same_behind_a_copy(error, how):
    error = copy.copy(error)
    error.add_note("environment 3")
    again = COPIES[how](error)
    assert again is not error and told(again) == told(error)
    assert again.__notes__ == ["environment 3"]
    assert repr(again) == repr(error) and type(error).__name__ in repr(again)


def fail(number):
    error = EXCEPTIONS[number]
    error.add_note("in another process")
    raise error


def test_an_exception_of_another_process_arrives_there():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for number, error in enumerate(EXCEPTIONS):
            with pytest.raises(type(error)) as raised:
                pool.submit(fail, number).result(60)
            assert str(raised.value) == str(error)
            assert raised.value.__notes__ == ["in another process"]


@pytest.mark.parametrize("how", COPIES)
def test_a_turn_that_is_kept_has_its_view_and_cannot_be_answered(how):
    def ask():
        table.filled()
        moves.extend(table.ask_all(lambda seat: masep.View({"left": 3}, reward=0.5), deadline=None))

    moves = []
    with masep.Table("", ["red"], "127.0.0.1:0") as table:
        host = threading.Thread(target=ask)
        host.start()
        with masep.join(table.target, id="agent", game="") as player:
            turn = player.next_turn(SOON)
            kept = COPIES[how](turn)
            assert (kept.number, kept.kind, kept.view, kept.reward) == (turn.number, "ask", {"left": 3}, 0.5)
            assert repr(kept) == repr(turn)
            assert kept.act("of the copy") is False
            assert turn.act("of the turn") is True
            host.join()
    assert [move.action for move in moves] == ["of the turn"]
