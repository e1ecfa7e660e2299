"""Tables and players without async: seats, turns, deadlines and the way back after a lost connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import EllipsisType, TracebackType
from typing import Any, Literal

from . import _live, _masep
from ._exceptions import RejectedError, TransportError
from ._limits import Limits, ServerLimits, SocketOptions

__all__ = [
    "Actions",
    "Last",
    "Move",
    "Player",
    "PlayerEvent",
    "PlayerTurn",
    "Seat",
    "Table",
    "TableEvent",
    "Turn",
    "View",
    "join",
]


class View:
    """An observation with something beside it: ``View(state, reward=0.5)``. A view function may give an
    observation alone.

    :param observation: the State, an element, for pymasep's players; any value for others
    :param information: anything else that the game tells, by name
    """

    __slots__ = ("information", "observation")

    def __init__(self, observation: Any, /, **information: Any) -> None:
        self.observation = observation
        self.information = information

    def __repr__(self) -> str:
        return f"View({self.observation!r}, **{self.information!r})"


@dataclass(frozen=True, slots=True)
class Seat:
    """A seat at the moment in which its view is asked for."""

    name: str
    """Its name."""
    player: str | None
    """The id of its player, who may be away or gone. pymasep's players look for it in ``control`` of the
    State."""
    state: Literal["open", "present", "asleep", "away", "gone", "closed"]
    """Nobody has it; its player is connected and waited for; connected and not waited for until it acts;
    its connection is lost; its player does not come back; the host has closed it."""
    index: int
    """Its place among the seats, from 0."""


@dataclass(frozen=True, slots=True)
class Move:
    """The decision of one seat in one turn."""

    seat: str
    """The name of the seat."""
    action: Any
    """The player's own action, or the one for the late; None if there is none. Names of classes in it
    are :class:`masep.TypeName`."""
    how: Literal["played", "default", "none"]
    """The way in which it came about: by its own action, by the one for the late, or without any."""
    why: str | None
    """Why it was not played: ``"late"``, ``"closed"`` (the turn), ``"away"``, ``"asleep"``, ``"gone"``,
    ``"dead"`` (the seat is closed), ``"vacant"``, ``"undeliverable"`` (the view). With ``"unreadable"`` it
    was played, and the action is nothing that Python has."""
    turn: int
    """The number of the turn."""
    index: int
    """The place of the seat among the seats, from 0."""


@dataclass(frozen=True, slots=True)
class TableEvent:
    """Something that has happened at a table."""

    kind: str
    """``"seated"``, ``"filled"``, ``"away"``, ``"back"``, ``"asleep"``, ``"awake"``, ``"gone"``,
    ``"vacant"`` (it left before the game), ``"emptied"`` (nobody is left who could decide),
    ``"spectators"``, ``"ignored"`` (something that a peer sent), ``"step_not_rising"`` or ``"ended"``."""
    seat: str | None = None
    """The name of the seat."""
    id: str | None = None
    """The id of who was seated."""
    code: str | None = None
    """Why something was ignored: ``"late"``, ``"repeated"``, ``"not_asked"``, ..."""
    spectators: int | None = None
    """Their number."""


@dataclass(frozen=True, slots=True)
class Last:
    """The decision of the last turn of a player."""

    turn: int
    """The number of the turn."""
    how: Literal["played", "default", "none"]
    """``"played"`` if the player's action counted."""
    why: str | None
    """Why it was not played, see :attr:`Move.why`."""
    after: float | None
    """The seconds until its action arrived, if that counted."""


@dataclass(frozen=True, slots=True)
class PlayerEvent:
    """Something that has happened to a player."""

    kind: str
    """``"joined"``, ``"lost"``, ``"retrying"``, ``"not_counted"`` or ``"notice"``."""
    seat: str | None = None
    """The seat that it has joined, as an engine of protocol 2 names it."""
    epoch: int | None = None
    """The number of connections that the seat has had, with this one."""
    is_new_engine: bool | None = None
    """True if the engine was started anew since, and knows nothing of the earlier game."""
    after: float | None = None
    """The seconds until the next attempt."""
    turn: int | None = None
    """The turn whose answer did not count."""
    how: Literal["played", "default", "none"] | None = None
    """The way in which that turn was decided, as far as it is known."""
    why: str | None = None
    """Why it was, see :attr:`Move.why`."""
    code: str | None = None
    """The engine's word, for programs."""
    text: str | None = None
    """The same for people, or the reason of a loss. It comes from outside: escape it before it reaches a
    terminal."""


@dataclass(frozen=True)
class _Rules:
    """The rules of a table, for the extension module."""

    id: str
    deadline: float | None
    bank: float | None
    late: Any
    grace: float | None
    misses: int
    forget_time: float
    farewell: float
    rejoins_by_id: bool
    replaces_same_id: bool
    strangers: bool
    keeps_env_step: bool
    hears_echo: bool
    finals_unanswered: list[str]
    most_spectators: int
    announce: bool
    limits: Limits | None
    server_limits: ServerLimits | None
    socket_options: SocketOptions | None
    protocol: int | None


@dataclass(frozen=True)
class _Part:
    """The wishes of a player, for the extension module."""

    id: str
    game: str
    role: str
    seat: str | None
    resume: str | None
    patience: float
    limits: Limits | None
    socket_options: SocketOptions | None
    protocol: int | None


def _time(deadline: float | None | EllipsisType) -> float | None:
    """The time of one turn, for the extension module: None for the table's, below 0 for none."""
    if isinstance(deadline, EllipsisType):
        return None
    return -1.0 if deadline is None else max(0.0, deadline)


class _BaseTable:
    """The calls of tables that do not wait, with and without async."""

    def __init__(
        self,
        game: str,
        seats: Iterable[str],
        address: str,
        *,
        deadline: float | None = None,
        bank: float | None = None,
        late: Any = None,
        grace: float | None = 30.0,
        misses: int = 3,
        rejoins_by_id: bool = False,
        id: str = "engine",
        announce: bool = False,
        forget_time: float = 600.0,
        farewell: float = 1.0,
        replaces_same_id: bool = False,
        strangers: bool = False,
        keeps_env_step: bool = False,
        hears_echo: bool = True,
        finals_unanswered: Iterable[str] = (),
        most_spectators: int = 2_048,
        limits: Limits | None = None,
        server_limits: ServerLimits | None = None,
        socket_options: SocketOptions | None = None,
        protocol: Literal[1, 2] | None = None,
    ) -> None:
        rules = _Rules(
            id=id,
            deadline=deadline,
            bank=bank,
            late=late,
            grace=grace,
            misses=misses,
            forget_time=forget_time,
            farewell=farewell,
            rejoins_by_id=rejoins_by_id,
            replaces_same_id=replaces_same_id,
            strangers=strangers,
            keeps_env_step=keeps_env_step,
            hears_echo=hears_echo,
            finals_unanswered=list(finals_unanswered),
            most_spectators=most_spectators,
            announce=announce,
            limits=limits,
            server_limits=server_limits,
            socket_options=socket_options,
            protocol=protocol,
        )
        self._table = _live.table(_masep.Table.bind(game, list(seats), address, rules))

    @property
    def address(self) -> tuple[str, int] | str:
        """The host and the port on which it listens; for a Unix socket, the text
        ``"unix:///path"``."""
        return self._table.address

    @property
    def target(self) -> str:
        """The same as text, which :func:`masep.join` takes."""
        return self._table.target

    @property
    def seats(self) -> list[Seat]:
        """The seats as they are now, in order."""
        return self._table.seats()

    @property
    def spectators(self) -> int:
        """The number of spectators."""
        return self._table.spectators()

    @property
    def episode(self) -> int:
        """The episode, from 0."""
        return self._table.episode()

    @property
    def missed_events(self) -> int:
        """The number of events that were dropped because nobody took them."""
        return self._table.missed_events()

    def show(self, view: Any) -> None:
        """Shows this to the spectators: each gets the newest view that there is when it has read the one
        before. Does not wait.

        :raises TransportError: if the table has ended
        """
        self._table.show(view)

    def finish_episode(self, view: Callable[[Seat], Any]) -> None:
        """Ends the episode: each player is shown its last view of it. Does not wait.

        :param view: gives the view of a seat: an observation, or a :class:`masep.View`
        :raises CallerError: if a turn is open
        :raises TransportError: if the table has ended
        """
        self._table.finish_episode(view)

    def pause(self) -> None:
        """Stops the clocks. Actions still count."""
        self._table.pause()

    def resume(self) -> None:
        """Lets the clocks run again, with what was left."""
        self._table.resume()

    def close_seat(self, name: str) -> None:
        """Closes a seat, as for a dead agent: each turn is decided at once without an action. Its player
        stays connected.

        :raises CallerError: if there is no such seat
        """
        self._table.close_seat(name)

    def open_seat(self, name: str) -> None:
        """Opens a seat that is closed or whose player is gone. A player that is connected plays on.

        :raises CallerError: if there is no such seat
        """
        self._table.open_seat(name)

    def events(self) -> list[TableEvent]:
        """The things that have happened and were not taken, in order. Does not wait. The latest 4,096 are
        kept, see :attr:`missed_events`."""
        return self._table.events()

    def __repr__(self) -> str:
        return f"<{type(self).__module__.removesuffix('._table')}.Table at {self.target}>"


class Table(_BaseTable):
    """A table, for its host: an engine that states its rules and plays. A player that is late, lost or
    hostile costs the others no more than they say. Players of protocol 2 (:func:`masep.join`) and
    unmodified pymasep interfaces sit at the same one.

    As a context manager the game is ended at the end of the block. Any thread may use it. Between its
    calls, threads of its own see to joins, clocks and pings.

    >>> with masep.Table("pursuit.PursuitGame", ["red", "blue"], "0.0.0.0:60000", deadline=2) as table:
    ...     table.filled()
    ...     moves = table.ask_all(lambda seat: world.view(seat.name, seat.player))

    An exception of a view function comes out of the call that it was given to; one of ``late`` comes out
    of the call that takes the move, and ends the table. The process and its other connections live on.

    :param game: the game that peers may name, a dotted name; "" for any
    :param seats: the names of the seats, in order
    :param address: as for :class:`masep.Server`
    :param deadline: seconds that a seat has for a turn; None: any time, as a training run must not invent
        actions
    :param bank: seconds for the whole game, out of which comes what a turn takes beyond ``deadline``;
        without that, all that it takes
    :param late: the action of a seat that has none of its own, because its player is late, asleep, away
        for too long or gone; or a function that makes it of the view that the player was shown, called
        within the calls that take moves. None: such a seat has no action
    :param grace: seconds that turns wait in all for a player whose connection is lost, in one absence;
        then it is gone. None: nobody waits, and its seat is kept
    :param misses: turns in a row that a seat may miss with its connection alive, until it is not waited
        for any more; 0 for any number
    :param rejoins_by_id: take an id for proof enough of the seat of a player that is away, as it always
        is for pymasep's; for players that keep no :attr:`Player.resume` when they are killed
    :param id: the engine's id
    :param announce: whether to answer the search on the LAN
    :param forget_time: seconds after which a seat that is away is gone, whether or not a turn waited
    :param farewell: seconds for pymasep's peers to answer ``END``
    :param replaces_same_id: let a pymasep peer take over the live connection of one with the same id
    :param strangers: let a newcomer have the seat of a pymasep peer that is away, if none is open
    :param keeps_env_step: leave the ``env_step`` of a State as it is for pymasep's peers, which answer
        only steps that rise; else the number of the turn is written into it
    :param hears_echo: take an int in the parameter ``turn`` of a pymasep peer's action for the number of
        the turn that it is for
    :param finals_unanswered: the seats whose pymasep peers do not answer final observations; pymasep's
        own do
    :param most_spectators: more are turned away
    :param limits: what messages and each connection are bound by
    :param server_limits: what the server is bound by
    :param socket_options: how sockets are watched and waited for
    :param protocol: 2 to take peers of protocol 2 alone, 1 those of pymasep's; else both
    :raises CallerError: if the address is none, or the seats are
    :raises OSError: if the address cannot be had
    """

    def filled(self, timeout: float | None = None) -> None:
        """Waits until each seat has had somebody at the same time. A game may begin without that.

        :param timeout: seconds to wait at most
        :raises TimedOut: if a seat had nobody in that time
        :raises TransportError: if the table has ended before
        """
        self._table.filled(timeout)

    def open(
        self,
        seats: Iterable[str] | None,
        view: Callable[[Seat], Any],
        *,
        deadline: float | None | EllipsisType = ...,
    ) -> Turn:
        """Opens a turn for these seats, each of which is shown its view and asked once. Does not wait.

        :param seats: their names; None for all
        :param view: gives the view of a seat: an observation, or a :class:`masep.View`. It is called for
            each seat now, and again for one that gets another player
        :param deadline: seconds, in place of the table's; None for any time
        :raises CallerError: if a seat is in an open turn, named twice or not there
        :raises TransportError: if the table has ended
        """
        names = None if seats is None else list(seats)
        return Turn(self._table.open(names, view, _time(deadline)))

    def ask(
        self, seat: str, view: Any, *, deadline: float | None | EllipsisType = ...
    ) -> Move:
        """Asks one seat, and waits for its decision. When an exception ends the wait, such as Ctrl-C, the
        turn is closed.

        :param view: its view: an observation, or a :class:`masep.View`
        :param deadline: as for :meth:`open`
        :raises CallerError: as for :meth:`open`
        :raises TransportError: if the table has ended
        """
        with self.open([seat], lambda _: view, deadline=deadline) as turn:
            return next(iter(turn))

    def ask_all(
        self, view: Callable[[Seat], Any], *, deadline: float | None | EllipsisType = ...
    ) -> list[Move]:
        """Asks all seats at the same time, and waits for all decisions, which are in the order of the
        seats. Seats that are closed or gone are decided too. When an exception ends the wait, such as
        Ctrl-C, the turn is closed.

        :param view: as for :meth:`open`
        :param deadline: as for :meth:`open`
        :raises CallerError: as for :meth:`open`
        :raises TransportError: if the table has ended
        """
        with self.open(None, view, deadline=deadline) as turn:
            return sorted(turn, key=lambda move: move.index)

    def actions(self, view: Callable[[Seat], Any]) -> Actions:
        """The decisions of all seats as they come, each at its own pace: a seat is asked again when it has
        acted and the host has taken that.

        :param view: as for :meth:`open`
        """
        return Actions(self._table.actions(view))

    def event(self, timeout: float | None = None) -> TableEvent | None:
        """The next thing that has happened, in order; None when the table has ended and all was told.

        :param timeout: seconds to wait at most
        :raises TimedOut: if nothing happened in that time
        """
        return self._table.event(timeout)

    def end(self) -> None:
        """Ends the game: turns that are open are closed, pymasep's peers are told ``END`` and have some time
        to answer, others are told why their connections end. Waits until all have ended, for the farewell
        and two seconds at most."""
        self._table.end()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.end()
        finally:
            self._table.close()


class Actions:
    """The decisions of all seats, each at its own pace, until the table has ended, or each seat is gone or
    closed. At the end of a ``with`` block, or when nobody keeps it, its turns are closed."""

    __slots__ = ("_actions",)

    def __init__(self, actions: _masep.Actions) -> None:
        self._actions = actions

    def next(self, timeout: float | None = None) -> Move | None:
        """The next decision; None when nobody plays any more.

        :param timeout: seconds to wait at most
        :raises TimedOut: if no seat decided in that time; nothing is lost
        """
        return self._actions.next(timeout)

    def close(self) -> None:
        """Closes the turns that are open."""
        self._actions.close()

    def __iter__(self) -> Iterator[Move]:
        while (move := self.next()) is not None:
            yield move

    def __enter__(self) -> Actions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Turn:
    """A turn that is open until each of its seats has decided. As a context manager it is closed at the end
    of the block; as an iterator it gives decisions as they come."""

    __slots__ = ("_turn",)

    def __init__(self, turn: _masep.Turn) -> None:
        self._turn = turn

    @property
    def number(self) -> int:
        """The number of the turn. It rises for as long as the table lives."""
        return self._turn.number

    def next(self, timeout: float | None = None) -> Move | None:
        """The next decision; None when each seat has decided.

        :param timeout: seconds to wait at most
        :raises TimedOut: if no seat decided in that time; nothing is lost
        """
        return self._turn.next(timeout)

    def extend(self, seconds: float) -> None:
        """Adds to the time of the turn, for all of its seats that are undecided. Players that were asked
        are not told."""
        self._turn.extend(seconds)

    def close(self) -> None:
        """Closes the turn: its seats that are undecided are decided without an action. :meth:`next` gives
        those decisions."""
        self._turn.close()

    def __iter__(self) -> Iterator[Move]:
        while (move := self.next()) is not None:
            yield move

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._turn.forget()

    def __repr__(self) -> str:
        return f"<masep.Turn {self.number}>"


@dataclass(frozen=True, eq=False)
class PlayerTurn:
    """An observation, for a player or a spectator."""

    number: int
    """The number of the turn, as the engine counts; at an engine of pymasep's protocol as this side does,
    from 1."""
    episode: int
    """The episode, from 0."""
    kind: Literal["ask", "show", "final"]
    """``"ask"`` if an action is wanted, ``"show"`` if none is, ``"final"`` if none is because the episode is over."""
    remaining: float | None
    """The seconds for an action, without the bank, when this was given; None for any time."""
    bank: float | None
    """The rest of the bank in seconds, where there is one."""
    last: Last | None
    """The decision of the last turn of this player: whether its action counted."""
    skipped: int
    """The number of observations that were passed over since the turn before."""
    view: Any
    """The State, or what the engine shows instead. Names of classes in it are :class:`masep.TypeName`."""
    information: dict[str, Any]
    """Anything else that the engine tells."""
    _player: _BasePlayer = field(repr=False)

    @property
    def final(self) -> bool:
        """True if the episode is over."""
        return self.kind == "final"

    @property
    def reward(self) -> Any:
        """The ``reward`` that the engine tells; None if it tells none."""
        return self.information.get("reward")

    def act(self, action: Any) -> bool:
        """Answers it. Does not wait. If the connection is lost, the answer goes out when the engine asks
        again. The next turn tells whether it counted.

        :param action: an element ``Action`` for an engine of pymasep's protocol; any value for others
        :return: False, and nothing is sent, if this is no question, has been answered, or is not the turn
            that was given last
        :raises CallerError: for an action that cannot be sent; the turn can still be answered
        :raises LimitError: for one that is too large, or if the engine does not take those before it
        """
        return self._player._turn is self and self._player._player.act(action)


class _BasePlayer:
    """The calls of players that do not wait, with and without async."""

    def __init__(
        self,
        address: str,
        *,
        id: str,
        game: str,
        role: Literal["actor", "observer"] = "actor",
        seat: str | None = None,
        resume: str | None = None,
        patience: float = 60.0,
        limits: Limits | None = None,
        socket_options: SocketOptions | None = None,
        protocol: Literal[1, 2] | None = None,
    ) -> None:
        part = _Part(
            id=id,
            game=game,
            role=role,
            seat=seat,
            resume=resume,
            patience=patience,
            limits=limits,
            socket_options=socket_options,
            protocol=protocol,
        )
        self._id = id
        self._player = _live.player(_masep.Player.join(address, part))
        self._turn: PlayerTurn | None = None
        self._end: str | None = None

    @property
    def id(self) -> str:
        """The own id."""
        return self._id

    @property
    def resume(self) -> str | None:
        """With this text another process gets the seat, at the same life of the engine. Secret. None before
        the first connection, and at an engine of pymasep's protocol, where the id is enough."""
        return self._player.resume

    @property
    def end(self) -> str | None:
        """The end, if it is over: ``"finished"``; ``"ended"`` by the engine, before the game was over;
        ``"rejected"``; ``"gave_up"``, where no connection came about in the time for that."""
        if self._end is None and (end := self._player.end()) is not None:
            self._end = end[0]
        return self._end

    def events(self) -> list[PlayerEvent]:
        """The things that have happened since the last call, in order: connections, losses, answers that
        did not count. The latest 256 are kept."""
        return self._player.events()

    def _take(self, fields: _masep._TurnFields | None) -> PlayerTurn | None:
        """The turn of these fields."""
        if fields is None:
            self._turn = None
            self._over()
            return None
        number, episode, kind, remaining, bank, last, skipped, view, information = fields
        self._turn = PlayerTurn(
            number,
            episode,
            kind,
            remaining,
            bank,
            None if last is None else Last(*last),
            skipped,
            view,
            information,
            self,
        )
        return self._turn

    def _over(self) -> None:
        """Raises what is wrong with the end."""
        end = self._player.end()
        if end is None:
            return
        kind, code, text = end
        self._end = kind
        words = f"{code}: {text}" if code and text else code or text
        if kind == "rejected":
            raise RejectedError(f"the engine does not take this player: {words}", kind, code, text)
        if kind == "gave_up":
            raise TransportError(f"no connection came about: {words}", kind)
        if kind == "ended":
            raise TransportError(f"the engine has ended this part: {words}", kind, code, text)

    def __repr__(self) -> str:
        return f"<{type(self).__module__.removesuffix('._table')}.Player {self._id!r}>"


class Player(_BasePlayer):
    """A player or a spectator, which connects and comes back by itself: :func:`masep.join` makes one.

    As a context manager it leaves the game at the end of the block; when an exception ends that, it
    closes the connection only, and the seat can be had again. As an iterator it gives turns until the game
    is over. It looks after its connection within its calls alone.
    """

    def next_turn(self, timeout: float | None = None) -> PlayerTurn | None:
        """The next turn; None when the game is over. Connects where there is no connection, again and again
        until the patience is over.

        Of observations that have arrived it gives the newest, and each end of an episode. A question is
        over with the next turn.

        :param timeout: seconds to wait at most; an attempt to connect is waited for in any case
        :raises TimedOut: if there was none in that time; nothing is lost
        :raises RejectedError: if the engine does not take this player
        :raises TransportError: if no connection came about, or the engine has ended this player's part
            before the game was over; ``code`` says why: ``"gone"``, ``"replaced"``, ...
        """
        return self._take(self._player.next_turn(timeout))

    def leave(self) -> None:
        """Leaves the game: the seat is given up. The connection ends."""
        _ = self.end
        self._player.leave()

    def close(self) -> None:
        """Ends the connection. The seat is away, and can be had again with :attr:`resume`."""
        _ = self.end
        self._player.close()

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.leave()
        else:
            self.close()

    def __iter__(self) -> Iterator[PlayerTurn]:
        while (turn := self.next_turn()) is not None:
            yield turn


def join(
    address: str,
    *,
    id: str,
    game: str,
    role: Literal["actor", "observer"] = "actor",
    seat: str | None = None,
    resume: str | None = None,
    patience: float = 60.0,
    limits: Limits | None = None,
    socket_options: SocketOptions | None = None,
    protocol: Literal[1, 2] | None = None,
) -> Player:
    """A player of the game at this address, which may be a table's or that of an engine of pymasep's
    protocol. Nothing is connected before the first turn is asked for.

    >>> with masep.join("10.0.0.2:60000", id="agent-1", game="pursuit.PursuitGame") as seat:
    ...     for turn in seat:
    ...         if not turn.final:
    ...             turn.act(policy(turn.view))

    :param address: as for :func:`masep.connect`
    :param id: the id by which the engine shall know this side
    :param game: the game, a dotted name
    :param role: ``"actor"`` for a player, ``"observer"`` for a spectator
    :param seat: the name of the seat that it wants, at a table of protocol 2
    :param resume: the :attr:`Player.resume` of an earlier process, which had the seat
    :param patience: seconds from the beginning, or the loss of the connection, until attempts to connect are
        given up
    :param limits: what messages and the connection are bound by
    :param socket_options: how the socket is opened, watched and waited for
    :param protocol: as for :func:`masep.connect`
    :raises CallerError: if the address is none
    """
    return Player(
        address,
        id=id,
        game=game,
        role=role,
        seat=seat,
        resume=resume,
        patience=patience,
        limits=limits,
        socket_options=socket_options,
        protocol=protocol,
    )
