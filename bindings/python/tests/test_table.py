"""Tables and their players: the calls."""

from __future__ import annotations

import array
import asyncio
import contextlib
import gc
import os
import queue
import socket
import threading
import time
import weakref
from xml.etree.ElementTree import Element

import masep
import masep.aio
import numpy as np
import pytest
from masep import Move, Seat, TableEvent, TypeName, View
from soon import SOON

SEATS = ["red", "blue"]
GAME = "any.Game"
#: A deadline that one player is to miss, and that another one meets on a busy machine.
IN_TIME = 1.0


def table(seats=SEATS, address="127.0.0.1:0", **rules):
    return masep.Table(GAME, seats, address, **rules)


def playing(target, ident, act=lambda turn: turn.number, **wishes):
    """A thread that plays to the end; the turns that it got, and what went wrong."""
    turns, errors = [], []

    def play():
        try:
            with masep.join(target, id=ident, game=GAME, **wishes) as seat:
                for turn in seat:
                    turns.append(turn)
                    if turn.kind == "ask" and act is not None:
                        turn.act(act(turn))
        except masep.MasepError as error:
            errors.append(error)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    return thread, turns, errors


def test_two_players_and_a_spectator_play_two_episodes():
    with table() as host:
        players = [playing(host.target, f"p {seat}", seat=seat) for seat in SEATS]
        host.filled(SOON)
        watching = playing(host.target, "watcher", role="observer")
        while host.spectators < 1:
            host.event(SOON)
        assert host.seats == [
            Seat(name, f"p {name}", "present", index) for index, name in enumerate(SEATS)
        ]
        number = 0
        for episode in range(2):
            assert host.episode == episode
            for _step in range(3):
                number += 1
                moves = host.ask_all(lambda seat: View({"for": seat.name}, reward=seat.index))
                assert moves == [
                    Move(name, moves[0].turn, "played", None, moves[0].turn, index)
                    for index, name in enumerate(SEATS)
                ]
                host.show({"turn": moves[0].turn})
            host.finish_episode(lambda seat: {"final for": seat.player})
    for seat, (thread, turns, errors) in zip(SEATS, players, strict=True):
        thread.join(SOON)
        assert errors == []
        assert [turn.kind for turn in turns] == ["ask"] * 3 + ["final"] + ["ask"] * 3 + ["final"]
        asked = [turn for turn in turns if turn.kind == "ask"]
        assert {turn.view["for"] for turn in asked} == {seat}
        assert {turn.reward for turn in asked} == {SEATS.index(seat)}
        assert [turn.last.turn for turn in asked[1:]] == [turn.number for turn in asked[:-1]]
        assert {turn.last.how for turn in asked[1:]} == {"played"}
        assert [turn.episode for turn in turns] == [0] * 4 + [1] * 4
        assert turns[3].view == {"final for": f"p {seat}"} and turns[3].final
    thread, turns, errors = watching
    thread.join(SOON)
    assert (errors, {turn.kind for turn in turns}) == ([], {"show"})
    assert turns[-1].view == {"turn": asked[-1].number}


def test_the_host_is_told_of_those_who_are_rejected():
    with table(["red"]) as host:
        with pytest.raises(masep.RejectedError), masep.join(host.target, id="ann", game="other.Game") as seat:
            seat.next_turn(SOON)
        assert host.event(SOON) == TableEvent("rejected", id="ann", code="unknown_game")


def test_one_that_asks_for_no_seat_is_told_of_the_game_and_the_free_seats():
    def told(welcome):
        return (welcome.game, welcome.seats, welcome.free)

    with table() as host:
        with masep.connect(host.target, id="looks") as looks:
            assert told(looks.welcome) == (GAME, 2, 2)
        playing(host.target, "p", seat="red")
        while host.seats[0].state != "present":
            host.event(SOON)
        with masep.connect(host.target, id="looks") as looks:
            assert told(looks.welcome) == (GAME, 2, 1)

    async def look():
        async with masep.aio.Table(GAME, SEATS, "127.0.0.1:0") as host:
            async with masep.aio.connect(host.target, id="looks") as looks:
                return told(looks.welcome)

    assert asyncio.run(look()) == (GAME, 2, 2)
    with masep.Server("engine", "127.0.0.1:0") as server, masep.connect(server.target, id="looks") as looks:
        assert told(looks.welcome) == (None, None, None)


def test_one_seat_is_finished_before_the_others():
    is_free = threading.Event()

    def act(turn):
        # The turn is open until then.
        is_free.wait(SOON)
        return turn.number

    with table() as host:
        players = [playing(host.target, f"p {seat}", act, seat=seat) for seat in SEATS]
        host.filled(SOON)
        with host.open(SEATS[1:], lambda seat: 1), pytest.raises(masep.CallerError):
            host.finish_seat(SEATS[1], "not yet")
        is_free.set()
        with pytest.raises(masep.CallerError):
            host.finish_seat("nobody", 1)
        host.finish_seat(SEATS[0], View("dead", reward=-1))
        for number in range(2):
            assert host.ask(SEATS[1], number).how == "played"
        host.finish_episode(lambda seat: "over")
    (first, turns, _), (second, others, _) = players[:2]
    first.join(SOON)
    second.join(SOON)
    assert [(turn.kind, turn.view, turn.reward) for turn in turns] == [("final", "dead", -1)]
    assert [(turn.kind, turn.view) for turn in others][-3:] == [("ask", 0), ("ask", 1), ("final", "over")]


def test_views_and_actions_are_values_of_every_kind():
    state = Element("State", name="State", left="3")
    frame = np.arange(12_000, dtype=np.float32).reshape(3, 4_000)
    views = [state, {"a": [1, (2.5, None)], "b": {b"x", "y"}}, frame, array.array("H", [1, 2])]
    with table(["red"]) as host:
        thread, turns, errors = playing(host.target, "p", act=lambda turn: {"echo": turn.view})
        host.filled(SOON)
        echoes = [host.ask("red", view).action["echo"] for view in views]
    thread.join(SOON)
    assert errors == []
    assert (echoes[0].tag, echoes[0].attrib) == ("State", {"name": "State", "left": "3"})
    assert echoes[1] == views[1]
    assert echoes[2].dtype == frame.dtype and np.array_equal(echoes[2], frame)
    assert echoes[3].tolist() == [1, 2]


def test_an_array_of_a_view_is_the_one_of_the_call():
    """A view is kept for a player that comes back: it must not change with the host's array."""
    frame = np.zeros(100_000, dtype=np.uint8)
    with table(["red"], rejoins_by_id=True) as host:
        away = masep.join(host.target, id="p", game=GAME)
        with pytest.raises(masep.TimedOut):
            away.next_turn(0.2)
        host.filled(SOON)
        away.close()
        while host.event(SOON).kind != "away":
            pass
        with host.open(None, lambda seat: frame) as turn:
            frame.fill(1)
            thread, turns, errors = playing(host.target, "p", act=lambda turn: int(turn.view.max()))
            assert turn.next(SOON).action == 0
    thread.join(SOON)
    assert errors == []


def test_names_of_classes_stay_names_and_no_player_makes_a_call_fail():
    bad = [TypeName("no.such.Class"), [TypeName("os.system")], {"a": TypeName("int")}]
    with table(["red"]) as host:
        playing(host.target, "p", act=lambda turn: bad[turn.view])
        host.filled(SOON)
        for number, action in enumerate(bad):
            assert host.ask("red", number).action == action


def test_the_late_have_the_default_of_their_view():
    with table(deadline=IN_TIME, misses=0, late=lambda view: view["best"]) as host:
        playing(host.target, "quick", seat="red")
        playing(host.target, "slow", seat="blue", act=None)
        host.filled(SOON)
        red, blue = host.ask_all(lambda seat: {"best": f"of {seat.name}"})
        assert (red.how, red.action) == ("played", red.turn)
        assert (blue.how, blue.why, blue.action) == ("default", "late", "of blue")


@pytest.mark.parametrize("late, how, action", [(None, "none", None), (7, "default", 7)])
def test_the_late_have_a_constant_or_nothing(late, how, action):
    with table(["red"], deadline=0.05, late=late) as host:
        playing(host.target, "slow", act=None)
        host.filled(SOON)
        move = host.ask("red", 1)
        assert (move.how, move.why, move.action) == (how, "late", action)


def test_deadlines_of_a_turn_stand_before_those_of_the_table():
    with table(["red"], deadline=0.05, misses=0) as host:
        threading_event = threading.Event()
        playing(host.target, "slow", act=lambda turn: threading_event.wait(SOON))
        host.filled(SOON)
        assert host.ask("red", 1).why == "late"
        threading_event.set()
        assert host.ask("red", 1, deadline=None).how == "played"
        assert host.ask("red", 1, deadline=SOON).how == "played"


def test_players_are_told_the_time_that_is_left():
    with table(["red"], deadline=50, bank=70) as host:
        thread, turns, errors = playing(host.target, "p")
        host.filled(SOON)
        host.ask("red", 1)
        host.ask("red", 2, deadline=20)
        host.ask("red", 3, deadline=None)
    thread.join(SOON)
    assert errors == []
    first, second, third = turns
    assert 40 < first.remaining <= 50 and 60 < first.bank <= 70
    assert 10 < second.remaining <= 20
    assert third.remaining is None
    assert 0 <= second.last.after < 10


def test_a_turn_gives_decisions_as_they_come_and_can_be_closed_and_extended():
    go_on = threading.Event()
    with table(deadline=1.5, misses=0) as host:
        playing(host.target, "quick", seat="red")
        playing(host.target, "slow", seat="blue", act=lambda turn: go_on.wait(SOON) and turn.number)
        host.filled(SOON)
        with host.open(SEATS, lambda seat: None) as turn:
            turn.extend(SOON)
            assert turn.next(SOON).seat == "red"
            with pytest.raises(masep.TimedOut):
                turn.next(1.7)
            with pytest.raises(masep.CallerError, match=f"turn {turn.number} is still open"):
                host.ask("red", None)
                host.ask("blue", None)
            go_on.set()
            move = turn.next(SOON)
            assert (move.seat, move.action) == ("blue", turn.number)
            assert turn.next() is None
        go_on.clear()
        with host.open(["blue"], lambda seat: None, deadline=None) as turn:
            turn.close()
            move = turn.next(SOON)
            assert (move.how, move.why) == ("none", "closed")
        # One that nobody keeps is closed.
        host.open(["blue"], lambda seat: None, deadline=None)
        gc.collect()
        go_on.set()
        assert host.ask("blue", None, deadline=SOON).how == "played"


def test_actions_come_at_each_seats_own_pace():
    go_on = threading.Event()
    with table() as host:
        playing(host.target, "quick", seat="red")
        playing(host.target, "slow", seat="blue", act=lambda turn: go_on.wait(SOON) and "slow")
        host.filled(SOON)
        seats = []
        with host.actions(lambda seat: {"for": seat.name}) as actions:
            for move in actions:
                seats.append(move.seat)
                if len(seats) == 5:
                    assert set(seats) == {"red"}
                    go_on.set()
                if move.seat == "blue":
                    break
        # Its turns are closed.
        assert host.ask_all(lambda seat: None)[0].how == "played"


def test_seats_are_closed_and_opened_and_clocks_stand_still():
    with table(deadline=IN_TIME, misses=0) as host:
        playing(host.target, "p", seat="red")
        host.close_seat("blue")
        while host.seats[0].state != "present":
            host.event(SOON)
        red, blue = host.ask_all(lambda seat: None)
        assert (red.how, blue.how, blue.why) == ("played", "none", "dead")
        host.open_seat("blue")
        playing(host.target, "slow", seat="blue", act=None)
        while host.seats[1].state != "present":
            host.event(SOON)
        host.pause()
        with host.open(["blue"], lambda seat: None) as turn:
            with pytest.raises(masep.TimedOut):
                turn.next(2 * IN_TIME)
            host.resume()
            assert turn.next(SOON).why == "late"


def test_events_are_told_in_order():
    with table(["red"]) as host:
        thread, _, _ = playing(host.target, "p", act=None)
        assert host.event(SOON).kind == "seated"
        assert host.event(SOON).kind == "filled"
        with pytest.raises(masep.TimedOut):
            host.event(0)
        host.end()
        thread.join(SOON)
        assert [event.kind for event in host.events()][-1] == "ended"
        assert host.event() is None
        assert host.missed_events == 0


class Oops(Exception):
    pass


def asking(host, times):
    """A thread that asks the one seat so often when somebody has it; its moves."""
    moves = []

    def ask():
        host.filled(SOON)
        moves.extend(host.ask("red", number) for number in range(times))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread, moves


def oops(*_):
    raise Oops("of the host")


def test_a_view_that_raises_opens_nothing_and_the_game_goes_on(capfd):
    with table() as host:
        for seat in SEATS:
            playing(host.target, seat, seat=seat)
        host.filled(SOON)
        for call in (host.ask_all, host.finish_episode, lambda view: host.actions(view).next()):
            with pytest.raises(Oops, match="of the host"):
                call(oops)
        with pytest.raises(masep.CallerError, match="view"):
            host.ask_all(lambda seat: object())
        assert [move.how for move in host.ask_all(lambda seat: None)] == ["played", "played"]
    assert capfd.readouterr().err == ""


def test_a_view_that_raises_for_a_newcomer_closes_the_turn(capfd):
    calls = []

    def view(seat):
        calls.append(seat.player)
        if seat.player == "second":
            raise Oops("of the second")
        return Element("State")

    with table(["red"], strangers=True) as host:
        first = masep.connect(host.target, id="first", protocol=1)
        first.send(masep.Message("register", {"id": "first", "role": "Actor"}, "first"))
        host.filled(SOON)
        with host.open(["red"], view) as turn:
            first.close()
            while host.event(SOON).kind != "away":
                pass
            second = masep.connect(host.target, id="second", protocol=1)
            second.send(masep.Message("register", {"id": "second", "role": "Actor"}, "second"))
            with pytest.raises(Oops, match="of the second"):
                turn.next(SOON)
            assert turn.next(SOON).why == "closed"
            assert turn.next() is None
        assert calls == ["first", "second"]
        assert host.seats[0].player == "second"
        second.close()
    assert capfd.readouterr().err == ""


def test_a_default_that_raises_ends_this_table_and_no_other(capfd):
    with table(["red"]) as other, table(["red"], deadline=0.05, late=oops) as host:
        playing(other.target, "p")
        _, _, errors = ended = playing(host.target, "slow", act=None)
        other.filled(SOON)
        host.filled(SOON)
        with pytest.raises(Oops, match="of the host"):
            host.ask("red", None)
        ended[0].join(SOON)
        # It came back, as a player may when its engine has failed.
        assert len(errors) == 1 and errors[0].code == "over"
        with pytest.raises(masep.TransportError) as over:
            host.ask("red", None)
        assert over.value.reason == "over"
        assert other.ask("red", None).how == "played"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("rules", [{"seats": []}, {"seats": ["a", "a"]}, {"finals_unanswered": ["x"]}, {"deadline": -1.0}, {"grace": float("nan")}])
def test_rules_that_are_none_are_the_callers_fault(rules):
    with pytest.raises(masep.CallerError):
        table(**rules)
    with pytest.raises(masep.CallerError):
        table(address="nowhere")
    with table() as host, pytest.raises(masep.CallerError, match="no seat \"?'?green"):
        host.ask("green", None)


def test_a_player_that_is_not_taken_is_told():
    with table(["red"]) as host:
        playing(host.target, "first")
        host.filled(SOON)
        for wishes, code in (({}, "full"), ({"seat": "green"}, "unknown_seat"), ({"game": "b.C"}, "unknown_game")):
            second = masep.join(host.target, **{"id": "second", "game": GAME, "protocol": 2} | wishes)
            with pytest.raises(masep.RejectedError) as refused:
                second.next_turn(SOON)
            assert (refused.value.code, second.end) == (code, "rejected")
    with pytest.raises(masep.TransportError) as gave_up:
        masep.join(host.target, id="p", game=GAME, patience=0.2).next_turn()
    assert gave_up.value.reason == "gave_up"


def test_an_old_turn_cannot_be_answered():
    with table(["red"], deadline=IN_TIME, misses=0) as host, masep.join(host.target, id="p", game=GAME) as seat:
        thread, moves = asking(host, 2)
        old = seat.next_turn(SOON)
        new = seat.next_turn(SOON)
        assert new.number > old.number
        assert (new.last.turn, new.last.how, new.last.why) == (old.number, "none", "late")
        assert not old.act(1)
        with pytest.raises(masep.CallerError, match="action"):
            new.act(object())
        assert new.act(2) and not new.act(3)
        thread.join(SOON)
        assert [move.how for move in moves] == ["none", "played"]
        with pytest.raises(masep.TimedOut):
            seat.next_turn(0)


def test_a_player_that_closes_comes_back_by_its_resume_text():
    with table(["red"]) as host:
        with pytest.raises(Oops), masep.join(host.target, id="p", game=GAME) as seat:
            thread, moves = asking(host, 1)
            first = seat.next_turn(SOON)
            resume = seat.resume
            raise Oops
        with masep.join(host.target, id="p", game=GAME, resume=resume) as seat:
            again = seat.next_turn(SOON)
            assert (again.number, again.view) == (first.number, 0)
            assert seat.events()[0].epoch == 2
            assert again.act("now")
            thread.join(SOON)
            assert moves[0].action == "now"
            while (event := host.event(SOON)).kind != "back":
                pass
            assert (event.seat, event.id) == ("red", "p")
            # Leaving in order gives the seat up.
        while host.event(SOON).kind != "gone":
            pass


def test_objects_are_freed():
    host = table()
    inner = weakref.ref(host._table)
    turn = host.open(None, lambda seat: None)
    del host, turn
    gc.collect()
    assert inner() is None


# asyncio


def run(play, *, debug=True):
    """Runs it in a loop of which each step is watched: nothing blocks it."""

    async def watched():
        loop = asyncio.get_running_loop()
        slow = []
        loop.slow_callback_duration = 0.5
        result = await asyncio.wait_for(play(), 3 * SOON)
        return result, slow

    return asyncio.run(watched())[0]


async def aio_play(target, ident, **wishes):
    turns = []
    async with masep.aio.join(target, id=ident, game=GAME, **wishes) as seat:
        async for turn in seat:
            turns.append(turn)
            if turn.kind == "ask":
                turn.act(turn.number)
    return turns


def test_aio_plays_with_its_host_in_one_loop():
    async def play():
        main = threading.get_ident()
        threads = set()

        def view(seat):
            threads.add(threading.get_ident())
            return {"for": seat.name}

        def late(view):
            threads.add(threading.get_ident())
            return "late"

        async with masep.aio.Table(GAME, SEATS, "127.0.0.1:0", deadline=5, late=late) as host:
            players = [asyncio.create_task(aio_play(host.target, seat, seat=seat)) for seat in SEATS]
            await host.filled()
            watching = asyncio.create_task(aio_play(host.target, "w", role="observer"))
            while host.spectators < 1:
                await host.event()
            for _ in range(100):
                moves = await host.ask_all(view)
                assert [move.action for move in moves] == [moves[0].turn] * 2
            host.show("the end")
            async with host.open(["red"], view) as turn:
                assert [move.seat async for move in turn] == ["red"]
            assert (await host.ask("blue", None)).how == "played"
            seen = []
            async for move in host.actions(view):
                seen.append(move.seat)
                if set(seen) == set(SEATS):
                    break
            host.finish_episode(view)
        for turns in await asyncio.gather(*players):
            assert turns[-1].final
            assert len([turn for turn in turns if turn.kind == "ask"]) >= 101
        assert (await watching)[-1].view == "the end"
        assert threads == {main}

    run(play)


def test_aio_turns_that_are_decided_at_once_let_other_tasks_run():
    async def play():
        others = 0

        async def other():
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0)

        async with masep.aio.Table(GAME, ["red"], "127.0.0.1:0") as host:
            host.close_seat("red")
            counting = asyncio.create_task(other())
            for _ in range(500):
                assert [move.why for move in await host.ask_all(lambda seat: seat.name)] == ["dead"]
            assert others >= 10
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.05):
                    while True:
                        await host.ask_all(lambda seat: seat.name)
            before = others
            for _ in range(500):
                with contextlib.suppress(masep.TimedOut):
                    await host.event(0)
            assert others >= before + 10
            counting.cancel()

    run(play)


def test_aio_a_call_that_is_cancelled_closes_its_turn_and_loses_nothing():
    async def play():
        async with masep.aio.Table(GAME, ["red"], "127.0.0.1:0") as host:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(host.filled(), 0.1)
            async with masep.aio.join(host.target, id="p", game=GAME) as seat:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(seat.next_turn(), 0.2)
                await host.filled()
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(host.ask("red", 1), 0.1)
                assert (await seat.next_turn()).view == 1
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(seat.next_turn(), 0.1)
                asking = asyncio.create_task(host.ask("red", 2))
                turn = await seat.next_turn()
                assert (turn.view, turn.last.why) == (2, "closed")
                turn.act("yes")
                assert (await asking).action == "yes"
                with pytest.raises(Oops):
                    await host.ask_all(oops)

    run(play)


def test_aio_a_loop_is_never_blocked_by_an_engine_that_is_not_there():
    async def play():
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        beating = asyncio.create_task(beat())
        seat = masep.aio.join("127.0.0.1:9", id="p", game=GAME, patience=2)
        with pytest.raises(masep.TransportError) as gave_up:
            await seat.next_turn()
        assert (gave_up.value.reason, seat.end) == ("gave_up", "gave_up")
        beating.cancel()
        assert beats > 5

    run(play)


def test_aio_close_ends_the_wait_of_another_task():
    async def play():
        async with masep.aio.Table(GAME, ["red"], "127.0.0.1:0") as host:
            seat = masep.aio.join(host.target, id="p", game=GAME)
            waiting = asyncio.create_task(seat.next_turn())
            await host.filled()
            await seat.close()
            assert await waiting is None

    run(play)


# Threads that share a player


def test_one_thread_waits_for_turns_and_another_answers_them():
    given = queue.SimpleQueue()
    with table(["red"]) as host, masep.join(host.target, id="p", game=GAME) as seat:

        def wait_for_turns():
            for turn in seat:
                given.put(turn)

        waiting = threading.Thread(target=wait_for_turns, daemon=True)
        waiting.start()
        host.filled(SOON)
        for number in range(100):
            with host.open(None, lambda seat: number) as turn:
                asked = given.get(timeout=SOON)
                # The other waits for the next turn by now, which it would do for ever.
                assert asked.act(number)
                assert turn.next(SOON) == Move("red", number, "played", None, turn.number, 0)
                assert [event.kind for event in seat.events()] in ([], ["joined"])
        host.end()
        waiting.join(SOON)
        assert not waiting.is_alive()


def test_an_answer_is_not_for_the_turn_that_another_thread_is_just_given():
    with table(["red"]) as host, masep.join(host.target, id="p", game=GAME) as seat:
        with pytest.raises(masep.TimedOut):
            seat.next_turn(0.2)
        with host.open(None, lambda seat: "first") as first:
            asked = seat.next_turn(SOON)
            first.close()
        with host.open(None, lambda seat: "second") as second:
            # As far as the extension module, in which another thread may be.
            while (fields := seat._player.next_turn(SOON))[-2] != "second":
                pass
            assert asked.act("for the first") is False
            assert seat._take(fields).act("for the second")
            assert second.next(SOON).action == "for the second"


@pytest.fixture
def nobody():
    """The address of a server that never says hello."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"


NEVER = masep.Limits(hello_time=3_600.0)


def test_a_player_that_is_connecting_keeps_no_other_thread_waiting(nobody):
    seat = masep.join(nobody, id="p", game=GAME, limits=NEVER)
    waiting = threading.Thread(target=seat.next_turn, daemon=True)
    waiting.start()
    while not is_connecting(nobody):
        time.sleep(0.01)
    assert (seat.events(), seat.end, seat.resume) == ([], None, None)
    seat.close()


def test_a_player_of_asyncio_that_is_connecting_keeps_no_other_task_waiting(nobody):
    async def main():
        seat = masep.aio.join(nobody, id="p", game=GAME, limits=NEVER)
        waiting = asyncio.ensure_future(seat.next_turn())
        while not is_connecting(nobody):
            await asyncio.sleep(0.01)
        assert (seat.events(), seat.end, seat.resume) == ([], None, None)
        await seat.close()
        waiting.cancel()

    asyncio.run(main())


def is_connecting(address):
    """True if there is a connection to this port."""
    port = int(address.rpartition(":")[2])
    with open("/proc/self/net/tcp", encoding="ascii") as file:
        found = [line.split()[2] for line in list(file)[1:]]
    return any(int(remote.rpartition(":")[2], 16) == port for remote in found)


# Waits of asyncio that have an end


def test_the_waits_of_asyncio_have_an_end_where_they_are_given_one():
    async def main():
        async with masep.aio.Server("engine", "127.0.0.1:0", ask=True) as server:
            for call in (server.accept, server.next_request):
                for timeout in (0, 0.05):
                    with pytest.raises(masep.TimedOut, match="^nothing came in the time"):
                        await call(timeout)
            asking = asyncio.ensure_future(masep.aio.connect(server.target, id="agent")._connect())
            (await server.next_request(SOON)).admit()
            assert (await server.accept(SOON)).peer == "agent"
            await (await asking).close()
        async with masep.aio.Table(GAME, ["red"], "127.0.0.1:0") as host:
            async with masep.aio.join(host.target, id="p", game=GAME) as seat:
                for timeout in (0, 0.05):
                    with pytest.raises(masep.TimedOut, match="^nothing came in the time"):
                        await host.filled(timeout)
                while not seat.events():
                    # It connects within these calls.
                    with pytest.raises(masep.TimedOut, match="^nothing came in the time"):
                        await seat.next_turn(0)
                await host.filled(SOON)
                assert [event.kind for event in host.events()] == ["seated", "filled"]
                async with host.open(None, lambda seat: "asked") as turn:
                    for call in (turn.next, host.event):
                        for timeout in (0, 0.05):
                            with pytest.raises(masep.TimedOut, match="^nothing came in the time"):
                                await call(timeout)
                        with pytest.raises(masep.CallerError, match="^a timeout is a number of seconds"):
                            await call(-1)
                    assert (await seat.next_turn(SOON)).act("acted")
                    assert (await turn.next(SOON)).action == "acted"
                    assert await turn.next(SOON) is None

    asyncio.run(main())


def test_a_host_that_keeps_its_actions_and_makes_their_views_is_collected():
    class Host:
        def __init__(self):
            self.table = masep.Table("any.Game", ["red"], "127.0.0.1:0")
            self.moves = self.table.actions(self.view)

        def view(self, seat):
            return 1

    host = Host()
    found = weakref.ref(host)
    address = host.table.address
    del host
    gc.collect()
    assert found() is None
    with pytest.raises(ConnectionError):
        socket.create_connection(address, 10)
