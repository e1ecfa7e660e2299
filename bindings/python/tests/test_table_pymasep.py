"""Tables with unmodified pymasep interfaces: their default configuration, ids of their own, skipping on."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack
from xml.etree import ElementTree

import masep
import pytest
import search_port
from lanterns import policy, session
from masep import View
from notation import parse, read
from soon import SOON

SEATS = ["red", "blue"]
MODEL = "actor-2"
"""An actor of the recorded game: its name stands where that of a seat's interface will."""
#: A deadline that one player is to miss, and that another one meets on a busy machine.
IN_TIME = 1.5


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Observations of a game among pymasep's own to which an actor answers; the last is final, and answered as well."""
    with search_port.turn():
        recording = session.record(tmp_path_factory.mktemp("recording"))
    messages = [read(frame) for frame in recording.seats[MODEL].frames[:-1]]
    states = [message["params"]["observation"]["$xml"] for message in messages]
    asked = [state for state in states if choice(state, MODEL) is not None]
    assert len(asked) > 8
    asked[-1] = asked[-1].replace('is_final="False"', 'is_final="True"')
    return asked


def choice(xml, ident):
    """The answer of an interface with this id to this State."""
    move = policy.choose(parse(xml.encode()), ident)
    return None if move is None else ElementTree.tostring(move.to_xml(), encoding="unicode")


def shown(question):
    """The view function that shows this to each player as its own."""

    def view(seat):
        return View(ElementTree.fromstring(question.replace(f'control="{MODEL}"', f'control="{seat.player}"')), reward=0.0)

    return view


def check(host, move, question):
    """A move that was played is the answer to this question and to no other."""
    player = host.seats[move.index].player
    # The turn's number is the step that the interface sees.
    xml = question.replace(f'control="{MODEL}"', f'control="{player}"')
    xml = re.sub(r'env_step="[0-9]+"', f'env_step="{move.turn}"', xml, count=1)
    assert ElementTree.tostring(move.action, encoding="unicode") == choice(xml, player)


def event(host, kind):
    while host.event(SOON).kind != kind:
        pass


def test_unmodified_interfaces_play_two_episodes_one_is_late_and_one_is_killed(questions, directory):
    rules = {"misses": 0, "grace": 0.5}
    with masep.Table(session.GAME, SEATS, "127.0.0.1:0", **rules) as host, ExitStack() as stack:
        port = host.address[1]
        players = []
        for _seat in SEATS:
            players.append(stack.enter_context(session.interface_as_is("actor", port, directory)))
            event(host, "seated")
        watching = stack.enter_context(session.interface_as_is("observer", port, directory))
        event(host, "spectators")
        host.filled(SOON)
        for episode in range(2):
            for number, question in enumerate(questions[:-1]):
                if (episode, number) == (0, 3):
                    # It stops, and its answer to this turn comes when another one is open.
                    players[0].signal(signal.SIGSTOP)
                    red, blue = host.ask_all(shown(question), deadline=IN_TIME)
                    assert (red.how, red.why) == ("none", "late")
                    check(host, blue, question)
                    players[0].signal(signal.SIGCONT)
                    continue
                if (episode, number) == (1, 2):
                    players[1].signal(signal.SIGKILL)
                    event(host, "away")
                red, blue = host.ask_all(shown(question))
                assert red.how == "played"
                check(host, red, question)
                if (episode, number) < (1, 2):
                    assert blue.how == "played"
                    check(host, blue, question)
                else:
                    # It cannot come back: it has an id of its own at each start.
                    assert (blue.how, blue.why) == ("none", "gone")
                host.show(shown(question)(host.seats[0]))
            host.finish_episode(shown(questions[-1]))
        host.end()
        for player in (players[0], watching):
            assert list(player.events())[-1] == {"event": "ended"}
            assert player.wait() == 0


def test_a_player_of_masep_sits_beside_an_unmodified_interface(questions, directory):
    with masep.Table(session.GAME, SEATS, "127.0.0.1:0") as host, ExitStack() as stack:
        own = masep.join(host.target, id="own", game=session.GAME, seat="blue")
        with pytest.raises(masep.TimedOut):
            own.next_turn(0.3)
        event(host, "seated")
        stack.enter_context(session.interface_as_is("actor", host.address[1], directory))
        host.filled(SOON)
        assert [seat.has_pymaseps_player for seat in host.seats] == [True, False]
        for question in questions[:5]:
            with host.open(None, shown(question)) as turn:
                told = own.next_turn(SOON)
                assert told.reward == 0.0
                told.act(ElementTree.Element("Action", type="1"))
                red, blue = sorted(turn, key=lambda move: move.index)
                check(host, red, question)
                assert (blue.action.tag, blue.action.attrib) == ("Action", {"type": "1"})
        own.leave()
