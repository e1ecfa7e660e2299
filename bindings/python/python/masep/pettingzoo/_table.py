"""An environment as a table: its agents are the seats, and who plays them is elsewhere."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal
from xml.etree.ElementTree import Element

from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from .. import _blocks
from .._environments.values import to_wire
from .._exceptions import MasepError, TimedOut, TransportError
from .._interrupts import LONGEST_WAIT, wait
from .._limits import Limits, ServerLimits, SocketOptions
from .._table import Seat, Table, TableEvent, View
from ._episodes import lives
from ._making import Environment, Source, make, possible_agents
from ._rules import GivenUp, Late, Rules, by_type
from ._spectators import shown
from ._views import AgentForms, AgentView, information

_log = logging.getLogger("masep")


@dataclass(frozen=True)
class Episode:
    """An episode that is over."""

    number: int
    """From 0."""
    turns: int
    """The number of times that agents were asked."""
    returns: dict[str, float]
    """The sum of the rewards of each agent: its player was told all of them, once, if it was there to the end."""
    ended: str | None
    """The reason why it ended, if it was given up."""


class _Seats:
    """The seats of a table, which a thread looks after until that has ended, or nobody has it any more. It opens those of
    players that are gone at once, so that nobody who comes is refused."""

    def __init__(self, table: Table, on_event: Callable[[TableEvent], object] | None) -> None:
        self._on_event = on_event
        #: Told when something has happened at the table.
        self.changed = threading.Condition()
        self.has_ended = threading.Event()
        threading.Thread(
            target=self._look_after, args=(weakref.ref(table),), name="masep-seats", daemon=True
        ).start()

    def _look_after(self, ref: weakref.ref[Table]) -> None:
        try:
            while (table := ref()) is not None:
                try:
                    event = table.event(LONGEST_WAIT)
                except TimedOut:
                    continue
                finally:
                    del table
                if event is None:
                    return
                self._told(ref, event)
        except MasepError:
            # The table has ended.
            pass
        finally:
            self.has_ended.set()
            with self.changed:
                self.changed.notify_all()

    def _told(self, ref: weakref.ref[Table], event: TableEvent) -> None:
        if event.kind == "gone" and event.seat is not None and (table := ref()) is not None:
            table.open_seat(event.seat)
        parts = (event.kind, event.seat, event.id, event.code)
        _log.info("%s", " ".join(part for part in parts if part is not None))
        with self.changed:
            self.changed.notify_all()
        if self._on_event is not None:
            try:
                self._on_event(event)
            except BaseException:
                # Also SystemExit, which would end the thread.
                _log.exception("the function that is told of events has failed")


class EnvironmentTable(_blocks.Block):
    """An environment whose agents are played from elsewhere, by players in any language: its
    ``possible_agents`` are the seats of a :class:`masep.Table`. As a context manager it is ended at the end of
    the block.

    An agent is asked when it is its turn, or with all others in a Parallel environment. One that is dead is shown its
    last view; the step with None, which an AEC environment wants then, is made here.

    An agent whose player does not answer has the action that ``late`` makes. Without ``late`` nobody invents
    actions: the episode is given up, which its players are told, and the next begins when each seat has
    a player.

    :param env: an environment, AEC or Parallel; or what :func:`make` takes
    :param address: as for :class:`masep.Server`
    :param arguments: those of the environment, if that is made here
    :param kind: the kind that is made: ``"aec"`` or ``"parallel"``
    :param deadline: seconds that an agent has for a turn; None: any time
    :param bank: seconds for the whole game, see :class:`masep.Table`
    :param late: the action of an agent that has none of its own, because its player is late, asleep, away for too
        long or gone, or its action is illegal: ``"random-legal"`` for one by chance among those that the mask
        allows, or a function of its :class:`AgentView`
    :param illegal: what is done about an action that is not in the space, or masked, beside telling its player:
        ``"late"``, as if it had not come; ``"end"``, the episode is given up; ``"environment"``, one that is
        masked is left to the environment, which may have a rule for it, and others are as if they had not
        come
    :param show: what spectators see, a function of the environment; None: a frame of it in the render mode
        ``"rgb_array"`` or ``"ansi"``, else what the agents see that are asked, which nobody may watch then who
        may not see it
    :param state: makes the State of an agent for an interface of pymasep's, of the environment and the
        agent's name. Without it only players of protocol 2 are taken
    :param act: makes an action of the element that such an interface sends, and the agent's name; None: the
        ``type`` of the element, an int
    :param grace: seconds that a player whose connection is lost has to come back; then somebody else can play its
        agent. None: nobody waits for it, see :class:`masep.Table`
    :param rejoins_by_id: take the id of a player that is away for proof enough of its seat
    :param seed: that of the first episode, which rises by one with each, and of ``"random-legal"``
    :param options: those of each reset
    :param drop_formless: whether an object of an info that cannot be sent is left out; else it is an error
    :param on_event: called with all that happens at the table, in a thread of its own
    :param game: the name of the game that players have to name; "" for any
    :param more: the other arguments of :class:`masep.Table`
    :raises CallerError: if the environment has no ``possible_agents`` or a space that cannot be sent, or for an
        argument that is none
    :raises OSError: if the address cannot be had
    """

    def __init__(
        self,
        env: Environment | Source,
        address: str,
        *,
        arguments: dict[str, Any] | None = None,
        kind: Literal["aec", "parallel"] | None = None,
        deadline: float | None = None,
        bank: float | None = None,
        late: Late | None = None,
        illegal: Literal["late", "end", "environment"] = "late",
        show: Callable[[Environment], Any] | None = None,
        state: Callable[[Environment, str], Element] | None = None,
        act: Callable[[Element, str], Any] | None = None,
        grace: float | None = 30.0,
        rejoins_by_id: bool = False,
        seed: int | None = None,
        options: dict[str, Any] | None = None,
        drop_formless: bool = False,
        on_event: Callable[[TableEvent], object] | None = None,
        game: str = "",
        id: str = "environment",
        announce: bool = False,
        limits: Limits | None = None,
        server_limits: ServerLimits | None = None,
        socket_options: SocketOptions | None = None,
        **more: Any,
    ) -> None:
        #: One that is made here is closed here.
        self._is_made = not isinstance(env, (AECEnv, ParallelEnv))
        made: Any = make(env, arguments or {}, kind) if self._is_made else env
        self.env: Environment = made
        self._rules = Rules(late, illegal, None if state is None else (act or by_type), seed)
        self._show_of, self._state = show, state
        self._seed, self._options, self._drop_formless = seed, options, drop_formless
        self._forms = {
            agent: AgentForms(self.env.action_space(agent), self.env.observation_space(agent))
            for agent in possible_agents(self.env)
        }
        self._lives = lives(self.env, self._forms)
        #: Of agents whose last action was none.
        self._illegals: dict[str, str] = {}
        self._returns: dict[str, float] = {}
        self._actions: dict[str, Any] = {}
        self._played = self._turns = 0
        if grace is not None:
            # A table whose players are all away would hold longer, for them alone.
            more.setdefault("forget_time", grace)
        self.table = Table(
            game,
            self._forms,
            address,
            deadline=deadline,
            bank=bank,
            # Which action it is, is decided here. So the player is told that it was not its own.
            late=None if late is None else "late",
            grace=grace,
            rejoins_by_id=rejoins_by_id,
            id=id,
            announce=announce,
            limits=limits,
            server_limits=server_limits,
            socket_options=socket_options,
            protocol=2 if state is None else None,
            **more,
        )
        try:
            self._seats = _Seats(self.table, on_event)
        except BaseException:
            self.table._leave(None)
            raise

    def __repr__(self) -> str:
        return f"<masep.pettingzoo.EnvironmentTable at {self.target}>"

    @property
    def target(self) -> str:
        """The address on which it listens, for :func:`join`."""
        return self.table.target

    def play(self, episodes: int | None = None) -> Iterator[Episode]:
        """Plays episodes, each as soon as every agent has a player, and gives each when it is over.

        An exception of the environment ends the game: the players are told, and it comes out of here.

        :param episodes: their number; None: until the table ends
        :raises TransportError: if the table has ended
        """
        last = None if episodes is None else self._played + episodes
        while last is None or self._played < last:
            self._gather()
            yield self._play_one()

    def end(self) -> None:
        """Ends the game: players and spectators are told."""
        self.table.end()

    def _leave(self, error: BaseException | None) -> None:
        try:
            self.table._leave(error)
        finally:
            wait(self._seats.has_ended)
            if self._is_made:
                self.env.close()

    def _gather(self) -> None:
        """Waits until each agent has a player, in place of those that are gone."""
        seats = self._seats
        with seats.changed:
            while not seats.has_ended.is_set() and self._count_players() < len(self._forms):
                seats.changed.wait(LONGEST_WAIT)
        if seats.has_ended.is_set():
            raise TransportError("the table has ended", "over")

    def _count_players(self) -> int:
        """The number of agents that somebody plays, who may be away."""
        return sum(seat.state not in ("open", "gone", "closed") for seat in self.table.seats)

    def _play_one(self) -> Episode:
        number, ended = self._played, None
        self._returns, self._turns = dict.fromkeys(self._forms, 0.0), 0
        self._illegals.clear()
        self._actions = {}
        try:
            try:
                self._live(None if self._seed is None else self._seed + number)
            except GivenUp as error:
                ended = str(error)
                if error.agent is not None and error.illegal is not None:
                    self._illegals[error.agent] = error.illegal
                _log.warning("episode %d is given up: %s", number, ended)
                self._lives.now()
            self._show(list(self._lives.views.values()))
            self._finish_episode(ended)
        except (TransportError, KeyboardInterrupt):
            raise
        except Exception as error:
            self._fail(error)
            raise
        self._played += 1
        return Episode(number, self._turns, self._returns, ended)

    def _live(self, seed: int | None) -> None:
        game = self._lives
        game.begin(seed, self._options)
        while True:
            for view in game.dead():
                self.table.finish_seat(view.agent, self._wire(view, self._seat(view.agent), game.due(view)))
                self._told(view)
            views = game.asked()
            if not views:
                return
            self._show(views)
            self._actions = self._ask({view.agent: view for view in views})
            game.act(dict(self._actions))

    def _told(self, view: AgentView) -> None:
        """Counts the reward of a view that an agent was shown: it is told it once."""
        self._returns[view.agent] += float(self._lives.due(view))
        self._lives.told(view)

    def _ask(self, views: dict[str, AgentView]) -> dict[str, Any]:
        """The actions of these agents."""
        self._turns += len(views)
        # One that takes over a seat is told the same as the one before.
        due = {agent: self._lives.due(view) for agent, view in views.items()}
        with self.table.open(views, lambda seat: self._wire(views[seat.name], seat, due[seat.name])) as turn:
            for view in views.values():
                self._told(view)
            moves = {move.seat: move for move in turn}
        actions = {}
        for agent, view in views.items():
            actions[agent], illegal = self._rules.action(moves[agent], view, self._count_players)
            self._illegals.pop(agent, None)
            if illegal is not None:
                self._illegals[agent] = illegal
        return actions

    def _seat(self, agent: str) -> Seat | None:
        """The seat of an agent, where that makes a difference."""
        if self._state is None:
            return None
        return next(seat for seat in self.table.seats if seat.name == agent)

    def _wire(self, view: AgentView, seat: Seat | None, reward: Any, ended: str | None = None) -> View:
        if seat is not None and seat.has_pymaseps_player and self._state is not None:
            return View(self._state(self.env, view.agent), reward=reward)
        told = information(view, reward, self._forms[view.agent], self._drop_formless)
        if (illegal := self._illegals.get(view.agent)) is not None:
            told["illegal"] = illegal
        if ended is not None:
            told["ended"] = ended
        return View(to_wire(view.view), **told)

    def _show(self, views: list[AgentView]) -> None:
        """Shows the game to the spectators: what these agents see."""
        if self._show_of is not None:
            self.table.show(to_wire(self._show_of(self.env)))
        elif (view := shown(self.env, views, self.table.spectators > 0)) is not None:
            beside = {"episode": self._played, "turn": self._turns, "actions": self._actions}
            self.table.show({**to_wire(beside), **view})

    def _finish_episode(self, ended: str | None) -> None:
        """Shows their last view to those that have not seen it: what it is of an episode that was given up."""
        self.table.finish_episode(lambda seat: self._last_wire(seat, ended))
        for view in self._lives.views.values():
            self._told(view)

    def _last_wire(self, seat: Seat, ended: str | None) -> View:
        view = self._lives.views.get(seat.name)
        if view is None:
            forms = self._forms[seat.name]
            spaces = forms.action_space, forms.observation_space
            view = AgentView(seat.name, None, 0.0, False, False, {}, *spaces)
        if not view.terminated:
            view = replace(view, truncated=True)
        return self._wire(view, seat, self._lives.due(view), ended)

    def _fail(self, error: Exception) -> None:
        """Tells the players that there is no more game."""
        _log.exception("the game has failed")
        ended = f"the game has failed: {type(error).__name__}: {error}"[:1_000]
        ended = ended.encode(errors="replace").decode()
        # The info of an agent may be what has failed.
        self._drop_formless = True
        try:
            self._finish_episode(ended)
        except Exception:
            _log.exception("the players are not told")
        try:
            self.table.end()
        except MasepError:
            pass


def serve(
    env: Environment | Source,
    address: str,
    *,
    episodes: int | None = None,
    told: Callable[[Episode], object] | None = None,
    **options: Any,
) -> None:
    """Serves an environment to players, one for each agent, until Ctrl-C, or the last episode:
    :class:`EnvironmentTable` has the options.

    :param episodes: their number; None: for ever
    :param told: called with each :class:`Episode` that is over
    :raises Exception: of the environment, behind a word to the players
    """
    with EnvironmentTable(env, address, **options) as table:
        _log.info("%s at %s", table.env, table.target)
        for episode in table.play(episodes):
            if told is not None:
                told(episode)
