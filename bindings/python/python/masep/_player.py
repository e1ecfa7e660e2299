"""Players and spectators without async: turns as they come, and the way back after a lost connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from . import _blocks, _live, _masep, _tls
from ._exceptions import RejectedError, TimedOut, TransportError
from ._limits import Limits, SocketOptions

__all__ = ["Last", "Player", "PlayerEvent", "PlayerTurn", "join"]


@dataclass(frozen=True, slots=True)
class Last:
    """The decision of the last turn of a player."""

    turn: int
    """The number of the turn."""
    how: Literal["played", "default", "none"]
    """``"played"`` if the player's action counted."""
    why: str | None
    """The reason why it was not played, see :attr:`masep.Move.why`."""
    after: float | None
    """The seconds until its action arrived, if that counted."""
    played: int | None = None
    """The last turn, up to this one, in which an action of this player counted. An answer to an earlier turn than this
    one counted if it was to that one, and else it did not."""


@dataclass(frozen=True, slots=True)
class PlayerEvent:
    """Something that has happened to a player."""

    kind: str
    """``"joined"``, ``"lost"``, ``"retrying"``, ``"not_counted"``, ``"unknown"`` (the engine has forgotten
    this player before it said whether the answer to this turn counted) or ``"notice"``."""
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
    """The reason why it was, see :attr:`masep.Move.why`."""
    code: str | None = None
    """The engine's word, for programs."""
    text: str | None = None
    """The same for people, or the reason of a loss. It comes from outside: escape it before it reaches a
    terminal."""


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
    trust: tuple[str | None, str | None] | None
    token: str | None = field(repr=False)


@dataclass(frozen=True, eq=False)
class PlayerTurn:
    """An observation, for a player or a spectator. A copy of it, also a pickled one, is to be kept: it cannot be
    answered."""

    number: int
    """The number of the turn, as the engine counts; at an engine of pymasep's protocol as this side does,
    from 1."""
    episode: int
    """The episode, from 0."""
    kind: Literal["ask", "show", "final"]
    """``"ask"`` if an action is wanted, ``"show"`` for a spectator, ``"final"`` if the episode is over.

    A player that has missed too many turns is asked too, though nothing waits for it: its answer brings it back into
    the game, from the next turn on. It counts for none: :attr:`last` has this very turn then."""
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
    _player: _BasePlayer | None = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_player": None}

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
        player = self._player
        return player is not None and player._turn is self and player._player.act(self.number, action)


class _BasePlayer(_blocks.Live):
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
        tls_ca: _tls.Path | None = None,
        tls_name: str | None = None,
        token: str | None = None,
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
            trust=_tls.trust(tls_ca, tls_name),
            token=token,
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
        ``"rejected"``; ``"cannot_connect"``, where no attempt can succeed: the certificate of the engine is not
        trusted, for example; ``"gave_up"``, where no connection came about in the time for that."""
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

    def _timed_out(self) -> TimedOut:
        """Nothing came in the time that was given, for want of a connection perhaps."""
        text = "nothing came in the time that was given"
        failure = self._player.failure()
        error = TimedOut(text if failure is None else f"{text}, and there is no connection: {failure}")
        error.__cause__ = failure
        return error

    def _over(self) -> None:
        """Raises what is wrong with the end."""
        end = self._player.end()
        if end is None:
            return
        kind, code, text = end
        self._end = kind
        words = f"{code}: {text}" if code and text else code or text
        if kind == "rejected":
            hint = _masep.hint_of_refusal(code)
            words = f"{words}; {hint}" if hint else words
            raise RejectedError(f"the engine does not take this player: {words}", kind, code, text)
        if kind == "cannot_connect" and (failure := self._player.failure()) is not None:
            raise failure
        if kind == "gave_up":
            raise TransportError(f"no connection came about: {words}", kind)
        if kind == "ended":
            raise TransportError(f"the engine has ended this part: {words}", kind, code, text)

    def __repr__(self) -> str:
        return f"<{type(self).__module__.removesuffix('._player').removesuffix('._aio_table')}.Player {self._id!r}>"


class Player(_BasePlayer, _blocks.Block):
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
        :raises TimedOut: if there was none in that time; nothing is lost. It says why there is no connection, if there is none
        :raises RejectedError: if the engine does not take this player
        :raises TransportError: if no connection came about, or the engine has ended this player's part
            before the game was over; ``code`` says why: ``"gone"``, ``"replaced"``, ...
        """
        try:
            fields = self._player.next_turn(timeout)
        except TimedOut:
            error = self._timed_out()
            raise error from error.__cause__
        return self._take(fields)

    def leave(self) -> None:
        """Leaves the game: the seat is given up. The connection ends."""
        _ = self.end
        self._player.leave()

    def close(self) -> None:
        """Ends the connection. The seat is away, and can be had again with :attr:`resume`."""
        _ = self.end
        self._player.close()

    def _leave(self, error: BaseException | None) -> None:
        if error is None:
            self.leave()
        else:
            _ = self.end
            self._player.close(_blocks.patience(error))

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
    tls_ca: _tls.Path | None = None,
    tls_name: str | None = None,
    token: str | None = None,
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
    :param patience: seconds in all without a connection, from the beginning or the loss of one that lasted, until
        attempts to connect are given up: when the next one would begin later. Time between calls counts
    :param limits: what messages and the connection are bound by
    :param socket_options: how the socket is opened, watched and waited for
    :param protocol: as for :func:`masep.connect`
    :param tls_ca: as for :func:`masep.connect`
    :param tls_name: as for :func:`masep.connect`
    :param token: as for :func:`masep.connect`
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
        tls_ca=tls_ca,
        tls_name=tls_name,
        token=token,
    )
