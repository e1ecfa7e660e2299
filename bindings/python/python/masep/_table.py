"""Tables without async: seats, turns and deadlines."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any, ClassVar, Generic, Literal, TypeVar
from weakref import ref

from . import _admitting, _blocks, _live, _masep, _tls
from ._exceptions import CallerError, TimedOut
from ._limits import Limits, ServerLimits, SocketOptions
from ._listening import A, ListenOptions, Listening

__all__ = ["Actions", "Move", "Seat", "Table", "TableEvent", "Turn", "View"]


_F = TypeVar("_F")


class View:
    """An observation with something beside it: ``View(state, reward=0.5)``. A view function may give an
    observation alone.

    :param observation: the State, an element, for pymasep's players; any value for others
    :param information: anything else that the game tells, by name
    """

    __slots__ = ("information", "observation")

    observation: Any
    information: dict[str, Any]

    def __init__(self, observation: Any, /, **information: Any) -> None:
        self.observation = observation
        self.information = information

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, View):
            return NotImplemented
        return (self.observation, self.information) == (other.observation, other.information)

    # Views can be changed.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

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
    has_pymaseps_player: bool = False
    """True if its player follows the customs of pymasep, so that its view is a State."""


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
    """The reason why it was not played: ``"late"``, ``"closed"`` (the turn), ``"away"``, ``"asleep"``, ``"gone"``,
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
    ``"spectators"``, ``"ignored"`` (something that a peer sent), ``"rejected"`` (it was not let in, or was
    sent away), ``"step_not_rising"`` or ``"ended"``."""
    seat: str | None = None
    """The name of the seat."""
    id: str | None = None
    """The id of the player that was seated, is back or was rejected."""
    code: str | None = None
    """The reason why something was ignored (``"late"``, ``"repeated"``, ``"not_asked"``, ...), or somebody rejected
    (``"unknown_game"``, ``"full"``, ``"seat_taken"``, ...)."""
    spectators: int | None = None
    """Their number."""


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
    most_peers: int
    most_spectators: int


def _time(deadline: float | None | EllipsisType) -> float | None:
    """The time of one turn, for the extension module: None for the table's, below 0 for none."""
    if isinstance(deadline, EllipsisType):
        return None
    try:
        if deadline is None:
            return -1.0
        # A time that is over already is none. NaN is handed on, to be an error.
        return deadline if deadline != deadline else max(0.0, deadline)
    except TypeError:
        kind = type(deadline).__name__
        raise CallerError(f"deadline is a number of seconds, or None for any time, not a {kind}") from None


def _names(what: str, names: Iterable[str]) -> list[str]:
    """Several names. A text is an iterable of its letters."""
    if isinstance(names, str):
        raise CallerError(f"{what} are several names, not one text: [{names!r}]")
    try:
        listed = list(names)
    except TypeError:
        raise CallerError(f"{what} are several names, not a {type(names).__name__}") from None
    for name in listed:
        if not isinstance(name, str):
            raise CallerError(f"{what} are names, and {name!r:.100} is none: it is a {type(name).__name__}")
    return listed


def _function(view: Callable[[Seat], Any]) -> Callable[[Seat], Any]:
    """A function that makes views."""
    if not callable(view):
        raise CallerError(f"view is a function that gives the view of a seat, not a {type(view).__name__}")
    return _plain("view", view)


def _plain(name: str, function: _F) -> _F:
    """A function that is called where nothing can be awaited."""
    if inspect.iscoroutinefunction(function):
        raise CallerError(f"{name} is a coroutine function, which nobody awaits: it is called within calls of the table")
    return function


def _late(table: ref[_BaseTable[Any]], observation: Any) -> Any:
    """The action of a seat that has none of its own, by the function of its table. Only that keeps it, until its end: the
    two often have each other."""
    late = getattr(table(), "_late", None)
    return None if late is None else late(observation)


class _BaseTable(Listening, Generic[A]):
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
        most_peers: int = 4_096,
        most_spectators: int = 2_048,
        limits: Limits | None = None,
        server_limits: ServerLimits | None = None,
        socket_options: SocketOptions | None = None,
        protocol: Literal[1, 2] | None = None,
        tls_cert: _tls.Path | None = None,
        tls_key: _tls.Path | None = None,
        tls: _tls.Mode | None = None,
        tokens: str | os.PathLike[str] | None = None,
        pymasep_listen: str | None = None,
        admit: A | None = None,
    ) -> None:
        options = ListenOptions(
            announce=announce,
            limits=limits,
            server_limits=server_limits,
            socket_options=socket_options,
            protocol=protocol,
            certificate=_tls.certificate(tls_cert, tls_key, tls),
            tokens=tokens,
            pymasep_listen=pymasep_listen,
            access_requests=self._access_requests(admit, tokens),
            rejections=_masep.Rejections(),
        )
        self._late, self._admit = _plain("late", late), admit
        if callable(late) and not isinstance(late, type):
            late = partial(_late, ref(self))
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
            finals_unanswered=_names("finals_unanswered", finals_unanswered),
            most_peers=most_peers,
            most_spectators=most_spectators,
        )
        self._table = _live.table(_masep.Table.bind(game, _names("seats", seats), address, rules, options))
        self._rejections = options.rejections
        self._listens(options)
        self._begin()

    @property
    def _listener(self) -> _masep.Table:
        return self._table

    def _begin(self) -> None:
        """Does the rest of the start, once the table listens."""

    def _forget(self) -> None:
        """Lets go of the functions of the host, at the end."""
        self._late = self._admit = None

    @property
    def seats(self) -> list[Seat]:
        """The seats as they are now, in order."""
        return self._table.seats()

    def _unfilled(self) -> TimedOut:
        """The seats did not all have somebody in the time that was given."""
        vacant = ", ".join(_masep.quoted(seat.name) for seat in self.seats if seat.state == "open")
        text = "nothing came in the time that was given"
        # Somebody may have come since.
        return TimedOut(f"{text}: nobody has the seats {vacant}" if vacant else text)

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

    def _opened(
        self, seats: Iterable[str] | None, view: Callable[[Seat], Any], deadline: float | None | EllipsisType
    ) -> _masep.Turn:
        names = None if seats is None else _names("seats", seats)
        return self._table.open(names, _function(view), _time(deadline))

    def finish_episode(self, view: Callable[[Seat], Any]) -> None:
        """Ends the episode: each player is shown its last view of it. Does not wait.

        :param view: gives the view of a seat: an observation, or a :class:`masep.View`
        :raises CallerError: if a turn is open
        :raises TransportError: if the table has ended
        """
        self._table.finish_episode(_function(view))

    def finish_seat(self, name: str, view: Any) -> None:
        """Ends the episode for one seat, as for a dead agent: its player is shown this as its last view of it, and
        :meth:`finish_episode` shows it no other one. Does not wait.

        :param view: an observation, or a :class:`masep.View`
        :raises CallerError: if there is no such seat, or it is in an open turn
        :raises TransportError: if the table has ended
        """
        self._table.finish_seat(name, view)

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
        package = type(self).__module__.removesuffix("._table").replace("._aio_table", ".aio")
        return f"<{package}.Table at {self.target}>"


class Table(_admitting.InThread, _BaseTable[_admitting.Admit], _blocks.Block):
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
    :param strangers: let a newcomer, of either protocol, have the seat of a pymasep peer that is away, if none is open that it
        wants and may have. It is asked the question that waits there, and the one before does not get the seat back.
        The seats of players of protocol 2 are kept; that of a player with an access token goes to nobody with another
    :param keeps_env_step: leave the ``env_step`` of a State as it is for pymasep's peers, which answer
        only steps that rise; else the number of the turn is written into it
    :param hears_echo: take an int in the parameter ``turn`` of a pymasep peer's action for the number of
        the turn that it is for
    :param finals_unanswered: the seats whose pymasep peers do not answer final observations; pymasep's
        own do
    :param most_peers: the number of connections, in seats or not; more are turned away
    :param most_spectators: more are turned away
    :param limits: what messages and each connection are bound by
    :param server_limits: what the server is bound by
    :param socket_options: how sockets are watched and waited for
    :param protocol: 2 to take peers of protocol 2 alone, 1 those of pymasep's; else both
    :param tls_cert: a file of PEM with the server's certificate, then those above it: connections are in TLS, at
        ``"masep+tls://host:port"``
    :param tls_key: the file with its key
    :param tls: ``"require"`` (all are, which is what is meant if nothing is said), ``"allow"`` (those that are, and those
        that are not, on one port) or ``"off"``
    :param tokens: a file of access tokens (``masep token new`` makes it): only clients of protocol 2 that say one of
        them are taken, before anything else is looked at. It is read anew when it changes; a token that is taken out
        ends its connections, and one that allows less those that may be more than that. Peers of pymasep's protocol have no tokens, and are refused
    :param pymasep_listen: an address for these, beside the other: a Unix socket, or one that strangers do not reach
    :param admit: in place of ``tokens``, a function that says whether a client is let in, and as what: as for
        :class:`masep.Server`
    :raises CallerError: if the address is none, or the seats are, or the file of tokens, or there are both ``tokens``
        and ``admit``
    :raises OSError: if the address cannot be had
    """

    def filled(self, timeout: float | None = None) -> None:
        """Waits until no seat is open, for the first time: each has somebody, or the host has closed it. A game
        may begin without that.

        :param timeout: seconds to wait at most
        :raises TimedOut: if a seat was open all that time
        :raises TransportError: if the table has ended before
        """
        try:
            self._table.filled(timeout)
        except TimedOut:
            raise self._unfilled() from None

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
        return Turn(self, self._opened(seats, view, deadline))

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
        return Actions(self, self._table.actions(_function(view)))

    def event(self, timeout: float | None = None) -> TableEvent | None:
        """The next thing that has happened, in order; None when the table has ended and all was told.

        :param timeout: seconds to wait at most
        :raises TimedOut: if nothing happened in that time
        """
        return self._table.event(timeout)

    def end(self) -> None:
        """Ends the game: turns that are open are closed, pymasep's peers are told ``END`` and have some time
        to answer, others are told why their connections end. Waits until all have ended, for the farewell
        and two and a half seconds at most."""
        self._table.end()
        self._forget()

    def _leave(self, error: BaseException | None) -> None:
        try:
            self.end()
        finally:
            self._table.close()


_T = TypeVar("_T", bound=_BaseTable[Any])
_M = TypeVar("_M", bound=_masep.Actions | _masep.Turn)


class _BaseMoves(Generic[_T, _M]):
    """Decisions as they come, with and without async."""

    def __init__(self, table: _T, moves: _M) -> None:
        self._table: _T = table
        self._moves: _M = moves

    def _forget(self) -> None:
        """Nobody takes them any more."""
        raise NotImplementedError


class _BaseActions(_BaseMoves[_T, _masep.Actions]):
    """The part that the decisions of all seats have in common, with and without async."""

    def close(self) -> None:
        """Closes the turns that are open."""
        self._moves.close()

    def _forget(self) -> None:
        self._moves.close()


class _BaseTurn(_BaseMoves[_T, _masep.Turn]):
    """The part that turns have in common, with and without async."""

    @property
    def number(self) -> int:
        """The number of the turn. It rises for as long as the table lives."""
        return self._moves.number

    def extend(self, seconds: float) -> None:
        """Adds to the time of the turn, for all of its seats that are undecided. Players that were asked
        are not told."""
        self._moves.extend(seconds)

    def close(self) -> None:
        """Closes the turn: its seats that are undecided are decided without an action. :meth:`next` gives
        those decisions."""
        self._moves.close()

    def _forget(self) -> None:
        self._moves.forget()

    def __repr__(self) -> str:
        package = type(self).__module__.removesuffix("._table").replace("._aio_table", ".aio")
        return f"<{package}.Turn {self.number}>"


class _Moves(_BaseMoves[Table, _M], _blocks.Block):
    """Decisions as they come, without async. As an iterator it gives them."""

    def next(self, timeout: float | None = None) -> Move | None:
        """The next decision; None when no more come: each seat of a turn has decided, or nobody plays any more.

        :param timeout: seconds to wait at most
        :raises TimedOut: if no seat decided in that time; nothing is lost
        """
        return self._moves.next(timeout)

    def __iter__(self) -> Iterator[Move]:
        while (move := self.next()) is not None:
            yield move

    def _leave(self, error: BaseException | None) -> None:
        self._forget()


class Actions(_BaseActions[Table], _Moves[_masep.Actions]):
    """The decisions of all seats, each at its own pace, until the table has ended, or each seat is gone or
    closed. At the end of a ``with`` block, or with the last reference to it, its turns are closed. One in its own
    view function is such a reference."""


class Turn(_BaseTurn[Table], _Moves[_masep.Turn]):
    """A turn that is open until each of its seats has decided. As a context manager it is closed at the end
    of the block; as an iterator it gives decisions as they come."""
