"""The side of one agent's player."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from gymnasium import spaces

from .. import _blocks
from .._environments.remote import LIMITS
from .._environments.spaces import space_from_json
from .._environments.values import as_it_is, caster, from_wire, reader
from .._exceptions import PeerError
from .._limits import Limits, SocketOptions
from .._player import Last, Player, PlayerEvent, PlayerTurn
from .._player import join as join_table
from ._views import AgentView

@dataclass(frozen=True, eq=False)
class AgentTurn(AgentView):
    """A view of an agent, and the question what it does."""

    number: int
    """The number of the turn."""
    episode: int
    """The episode, from 0."""
    kind: Literal["ask", "show", "final"]
    """``"ask"`` if an action is wanted, ``"final"`` if the episode is over for this agent, ``"show"`` for a spectator;
    see :attr:`masep.PlayerTurn.kind`."""
    remaining: float | None
    """The seconds for an action, without the bank; None for any time."""
    bank: float | None
    """The rest of the bank in seconds, where there is one."""
    last: Last | None
    """The decision of the agent's last turn, as :attr:`masep.PlayerTurn.last`."""
    illegal: str | None
    """The reason why the action of the last turn did not count, though it came in time; None if it was legal."""
    ended: str | None
    """The reason why the episode is over, if it is not by the rules of the game: somebody is gone, the
    environment has failed."""
    _turn: PlayerTurn = field(repr=False)
    _cast: Callable[[Any], Any] = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # A copy cannot be answered.
        return {**self.__dict__, "_cast": as_it_is}

    @property
    def final(self) -> bool:
        """True if the episode is over for this agent."""
        return self.kind == "final"

    def act(self, action: Any) -> bool:
        """Answers it: an element of :attr:`action_space`. Does not wait.

        :return: False, and nothing is sent, if this is no question, has been answered, or is not the turn
            that was given last
        :raises CallerError: for an action that is not of the shape or type of the space; the turn can still be
            answered. Bounds and the mask are looked at by the server
        """
        return self._turn.act(self._cast(action))


class AgentPlayer(_blocks.Block):
    """The player of one agent, which connects and comes back by itself: :func:`masep.pettingzoo.join` makes one.

    As an iterator it gives turns until the game is over; as a context manager it leaves the game at the end
    of the block, or keeps the seat when an exception ends that.
    """

    def __init__(self, player: Player) -> None:
        self._player = player
        self._spaces: dict[str, tuple[Any, spaces.Space[Any]]] = {}
        self._casts: tuple[Any, Callable[[Any], Any]] = None, from_wire
        self._reads: tuple[Any, Callable[[Any], Any]] = None, from_wire

    @property
    def id(self) -> str:
        """The own id."""
        return self._player.id

    @property
    def resume(self) -> str | None:
        """With this text another process gets the seat, see :attr:`masep.Player.resume`."""
        return self._player.resume

    @property
    def end(self) -> str | None:
        """The end, if it is over, see :attr:`masep.Player.end`."""
        return self._player.end

    def events(self) -> list[PlayerEvent]:
        """The things that have happened since the last call, see :meth:`masep.Player.events`."""
        return self._player.events()

    def next_turn(self, timeout: float | None = None) -> AgentTurn | None:
        """The next turn; None when the game is over. Connects where there is no connection.

        :param timeout: seconds to wait at most
        :raises TimedOut: if there was none in that time; nothing is lost
        :raises RejectedError: if the server does not take this player
        :raises TransportError: if no connection came about, or the server has ended this player's part
        :raises PeerError: if what it says is not about an environment
        """
        turn = self._player.next_turn(timeout)
        return None if turn is None else self._read(turn)

    def _read(self, turn: PlayerTurn) -> AgentTurn:
        told = turn.information
        try:
            agent, reward = str(told["agent"]), told["reward"]
            flags = bool(told["terminated"]), bool(told["truncated"])
            acts = self._space("action", told["action_space"])
            observes = self._space("observation", told["observation_space"])
        except KeyError as error:
            raise PeerError(f"the game at this address is no environment: no {error} is told", "profile") from None
        if self._casts[0] is not acts:
            self._casts = acts, caster(acts, outwards=True)
        if self._reads[0] is not observes:
            self._reads = observes, reader(observes)
        info = from_wire(told.get("info") or {})
        return AgentTurn(
            agent,
            None if turn.view is None else self._reads[1](turn.view),
            reward,
            *flags,
            info,
            acts,
            observes,
            turn.number,
            turn.episode,
            turn.kind,
            turn.remaining,
            turn.bank,
            turn.last,
            told.get("illegal"),
            told.get("ended"),
            turn,
            self._casts[1],
        )

    def _space(self, which: str, told: Any) -> spaces.Space[Any]:
        """The same space as before, if it is: so that it draws the samples that its seed decides."""
        known = self._spaces.get(which)
        if known is None or known[0] != told:
            self._spaces[which] = known = told, space_from_json(told)
        return known[1]

    def leave(self) -> None:
        """Leaves the game: the seat is given up. The connection ends."""
        self._player.leave()

    def close(self) -> None:
        """Ends the connection. The seat can be had again with :attr:`resume`."""
        self._player.close()

    def _leave(self, error: BaseException | None) -> None:
        self._player._leave(error)

    def __iter__(self) -> Iterator[AgentTurn]:
        while (turn := self.next_turn()) is not None:
            yield turn

    def __repr__(self) -> str:
        return f"<masep.pettingzoo.AgentPlayer {self.id!r}>"


def join(
    address: str,
    agent: str | None = None,
    *,
    id: str | None = None,
    game: str = "",
    resume: str | None = None,
    patience: float = 60.0,
    limits: Limits | None = None,
    socket_options: SocketOptions | None = None,
    **more: Any,
) -> AgentPlayer:
    """The player of an agent of the environment at this address, which :func:`masep.pettingzoo.serve` serves.
    Nothing is connected before the first turn is asked for.

    >>> with masep.pettingzoo.join("127.0.0.1:60000", agent="player_1") as player:
    ...     for turn in player:
    ...         if not turn.final:
    ...             turn.act(turn.action_space.sample(turn.mask))

    :param address: as for :func:`masep.connect`
    :param agent: the agent to play; None: any that nobody plays
    :param id: the id by which the server shall know this side; None: one by chance
    :param game: the game, where the server has a name for it
    :param resume: the :attr:`AgentPlayer.resume` of an earlier process, which played the agent
    :param patience: seconds in all without a connection, from the beginning or the loss of one that lasted, until
        attempts to connect are given up: when the next one would begin later. Time between calls counts
    :param limits: what messages and the connection are bound by; at most 256 MiB at once if not given
    :param socket_options: how the socket is opened, watched and waited for
    :param more: the other arguments of :func:`masep.join`
    :raises CallerError: if the address is none
    """
    player = join_table(
        address,
        id=id or f"{agent or 'agent'}-{os.getpid()}-{secrets.token_hex(4)}",
        game=game,
        seat=agent,
        resume=resume,
        patience=patience,
        limits=LIMITS if limits is None else limits,
        socket_options=socket_options,
        protocol=2,
        **more,
    )
    return AgentPlayer(player)
