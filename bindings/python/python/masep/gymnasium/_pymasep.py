"""A game of pymasep's as an environment: a learner of today in an engine that knows nothing of it."""

from __future__ import annotations

import socket
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from .. import _blocking
from .._exceptions import CallerError, MasepError, PeerError, TimedOut, TransportError
from .._limits import Limits, SocketOptions
from .._message import Message
from .._types import TypeName
from ._engine import Engine
from ._game_view import GameView

RETRY_SECONDS = 0.02
"""Between two attempts to connect to an engine that does not listen yet."""


class PymasepEnv(gymnasium.Env[Any, Any]):
    """A game of pymasep's, in which the learner plays an agent as a remote interface. The engine is as it is.

    pymasep's protocol has no reset, so each :meth:`reset` begins a new game with an engine of its own, and takes as
    long as that takes to start. The engine of the game before is told that the learner leaves, and is ended if
    it does not end by itself. Of pymasep's engines, one host runs one at a time: each takes the port of the LAN search.

    A step is the time from one turn of the learner's agent to its next: observations between them are not given out,
    and their rewards are added. An engine that ends, crashes or hangs in the middle of a game is an error of the
    step; the next :meth:`reset` is right.

    >>> env = PymasepEnv(
    ...     launch=lambda port, seed: subprocess.Popen([sys.executable, "engine.py", str(port)]),
    ...     game="chase.ChaseGame",
    ...     observation_space=Box(0, 8, (2,), np.int64),
    ...     action_space=Discrete(4),
    ...     observe=lambda view: position(view.agent),
    ...     act=lambda action, view: Element("Action", type=str(action)),
    ... )

    :param launch: starts an engine, with a port that was free just now and a seed, which is that of :meth:`reset` or
        drawn by its generator. It gives what it has started: a ``subprocess.Popen``, a ``multiprocessing.Process``, a
        ``threading.Thread``, a function that ends it, or a list of these; with an engine that listens elsewhere, a pair of that
        and the address. A ``Popen`` with ``start_new_session=True`` is ended with all that it has started itself
    :param game: the dotted name of the class of the game, as interfaces define it
    :param observation_space: of what ``observe`` gives
    :param action_space: of what ``act`` takes
    :param observe: the observation of a :class:`GameView`
    :param act: the ``Action``, an element or an object with ``to_xml()``, of an action and the view that it is for
    :param reward: the reward of a view; else :attr:`GameView.reward`
    :param acts: whether the learner has a turn in a view; else :attr:`GameView.is_own_turn`, which is right where
        agents act one after the other. Where all act at the same time, ``lambda view: view.agent is not None``
    :param id: the id by which the engine shall know the learner
    :param timeout: seconds for each step, and for the first observation, after which :class:`masep.TimedOut` is raised; None: for
        ever
    :param launch_timeout: seconds for an engine to start and to take the learner
    :param end_timeout: seconds for an engine to end by itself when its game is over or the learner leaves it, after which
        it is told to (``SIGTERM``), and a second later killed
    :param limits: what the connection is bound by
    :param socket_options: how the socket is opened, watched and waited for
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        *,
        launch: Callable[[int, int], Any],
        game: str,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        observe: Callable[[GameView], Any],
        act: Callable[[Any, GameView], Any],
        reward: Callable[[GameView], float] | None = None,
        acts: Callable[[GameView], bool] | None = None,
        id: str = "learner",
        timeout: float | None = 30.0,
        launch_timeout: float = 60.0,
        end_timeout: float = 5.0,
        limits: Limits | None = None,
        socket_options: SocketOptions | None = None,
    ) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self._launch, self._class = launch, TypeName(game)
        self._observe, self._act = observe, act
        self._reward = reward or (lambda view: view.reward)
        self._acts = acts or (lambda view: view.is_own_turn)
        self._id, self._timeout = id, timeout
        self._launch_timeout, self._end_timeout = launch_timeout, end_timeout
        self._options = {"limits": limits, "socket_options": socket_options}
        self._game: Game | None = None
        self._view: GameView | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins a new game.

        :raises TimedOut: if the engine does not take the learner in time, or shows it nothing
        :raises TransportError: if the engine has ended before the learner's first turn
        """
        super().reset(seed=seed)
        self.close()
        if seed is None:
            seed = int(self.np_random.integers(1 << 31))
        self._game = game = Game(self._id, self._end_timeout)
        # Also when nobody closes the environment.
        self._leave = weakref.finalize(self, game.end)
        try:
            game.begin(self._launch, seed, self._class, self._launch_timeout, self._options)
            view, _ = self._next(game)
            if view.is_final:
                raise PeerError("the game was over before the learner had a turn", "game")
        except BaseException:
            self.close()
            raise
        self._view = view
        return self._observe(view), _info(view)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Acts, and waits for the learner's next turn, or the end of the game.

        :raises TimedOut: if neither has come in time
        :raises TransportError: if the engine has ended
        """
        game, view = self._game, self._view
        if game is None or view is None:
            raise ResetNeeded("there is no game: call reset")
        # After an error only a reset goes on.
        self._view = None
        game.say("action", {"action": self._act(action, view)})
        view, reward = self._next(game)
        if not view.is_final and not game.is_over:
            self._view = view
        return self._observe(view), reward, self._view is None, False, _info(view)

    def _next(self, game: Game) -> tuple[GameView, float]:
        """The next view in which the learner has a turn, or the last one, and the rewards up to it."""
        until = None if self._timeout is None else time.monotonic() + self._timeout
        reward = 0.0
        while True:
            shown = game.next_view(until)
            if shown is None:
                if game.last is None:
                    raise PeerError("the game was over before the engine has shown anything", "game")
                return game.last, reward
            reward += float(self._reward(shown))
            if shown.is_final or self._acts(shown):
                return shown, reward

    def close(self) -> None:
        """Leaves the game, if there is one, and sees to the end of its engine.

        :raises RuntimeError: if the engine is a thread that goes on
        """
        self._view = None
        if self._game is not None:
            self._game = None
            self._leave()


def _info(view: GameView) -> dict[str, Any]:
    return {"step": view.step, "information": view.information}


class Game:
    """One engine, and the learner's connection to it."""

    def __init__(self, id: str, end_timeout: float) -> None:
        self.id, self.end_timeout = id, end_timeout
        self.engine = Engine(None)
        self.connection: _blocking.Connection | None = None
        self.last: GameView | None = None
        #: The engine has said so.
        self.is_over = False

    def begin(
        self,
        launch: Callable[[int, int], Any],
        seed: int,
        game: TypeName,
        timeout: float,
        options: dict[str, Any],
    ) -> None:
        port = _free_port()
        started, address = launch(port, seed), f"127.0.0.1:{port}"
        if isinstance(started, tuple) and len(started) == 2 and isinstance(started[1], str):
            started, address = started
        self.engine = Engine(started)
        target = address if "://" in address else f"pymasep://{address}"
        self.connection = self._connected(target, time.monotonic() + timeout, options)
        self.say("define", {"game": game})
        self.say("register", {"id": self.id, "queue_id": 0, "role": "Actor"})

    def _connected(
        self, target: str, until: float, options: dict[str, Any]
    ) -> _blocking.Connection:
        while True:
            left = max(until - time.monotonic(), RETRY_SECONDS)
            try:
                return _blocking.connect(target, id=self.id, timeout=left, **options)
            except TransportError as error:
                ending = self.engine.ending
                if ending is not None:
                    text = f"the engine has not taken the learner: {ending}"
                    raise TransportError(text, error.reason) from error
                if time.monotonic() >= until:
                    raise TimedOut(f"no engine has taken the learner at {target}: {error}") from error
            time.sleep(RETRY_SECONDS)

    def say(self, kind: str, params: dict[str, Any]) -> None:
        assert self.connection is not None
        try:
            self.connection.send(Message(kind, params, self.id))
        except TransportError as error:
            raise self._gone(error.reason) from error

    def next_view(self, until: float | None) -> GameView | None:
        """The next observation; None when the game is over."""
        assert self.connection is not None
        while not self.is_over:
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                message = self.connection.recv_message(left)
            except TimedOut:
                ending = self.engine.ending
                told = "" if ending is None else f": {ending}"
                raise TimedOut(f"the engine has given the learner no turn in time{told}") from None
            except TransportError as error:
                raise self._gone(error.reason) from error
            if message is None:
                raise self._gone(self.connection.close_reason or "end_of_stream")
            if message.msg_type == Message.MESSAGE_TYPE_END_GAME:
                self.is_over = True
            elif message.msg_type == Message.MESSAGE_TYPE_OBSERVATION:
                self.last = self._view(message)
                return self.last
        return None

    def _view(self, message: Message) -> GameView:
        params = message.params or {}
        state = params.get("observation")
        if state is None or not hasattr(state, "iter"):
            raise PeerError("an observation has no state", "game")
        return GameView(state, params.get("additional_information") or {}, self.id)

    def _gone(self, reason: str) -> TransportError:
        # The connection may be gone a moment before its process is.
        until = time.monotonic() + 1.0
        while (ending := self.engine.ending) is None and time.monotonic() < until:
            time.sleep(RETRY_SECONDS)
        told = "" if ending is None else f", {ending}"
        return TransportError(f"the engine is gone in the middle of the game: {reason}{told}", reason)

    def end(self) -> None:
        """Leaves as pymasep's interfaces do, and sees to the end of the engine."""
        until = time.monotonic() + self.end_timeout
        connection, self.connection = self.connection, None
        try:
            if connection is not None:
                with suppress(MasepError):
                    self._leave(connection, until)
                connection._connection.try_close()
        finally:
            self.engine.end(max(0.0, until - time.monotonic()))

    def _leave(self, connection: _blocking.Connection, until: float) -> None:
        is_final = self.last is not None and self.last.is_final
        if not self.is_over and not is_final:
            connection.send(Message(Message.MESSAGE_TYPE_QUIT_GAME, None, self.id))
        while not self.is_over:
            message = connection.recv_message(max(0.0, until - time.monotonic()))
            if message is None:
                return
            # An engine that plays on after a final observation is left in the middle.
            self.is_over = is_final or message.msg_type == Message.MESSAGE_TYPE_END_GAME
        if is_final:
            connection.send(Message(Message.MESSAGE_TYPE_QUIT_GAME, None, self.id))


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
