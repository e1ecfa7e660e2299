"""Several environments that run elsewhere, stepped at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from .. import _blocks, _tls
from .._exceptions import CallerError, MasepError, TransportError
from .._interrupts import Thread
from .._limits import Limits, SocketOptions
from ._remote import EnvSession, Specified
from .._environments.remote import LIMITS, check_count, check_timeouts, without_human, without_window
from .._environments.session import CLOSE_SECONDS, RemoteError, Target
from .._environments.values import caster, from_wire, reader, to_wire

_WORDS = {
    AutoresetMode.DISABLED: "disabled",
    AutoresetMode.NEXT_STEP: "next_step",
    AutoresetMode.SAME_STEP: "same_step",
}


class LostEnvironment(TransportError):
    """The connection to one of several environments has ended."""

    index: int
    """Which one: from 0 on."""

    def __init__(self, text: str, reason: str = "io", index: int = 0) -> None:
        super().__init__(text, reason)
        self.index = index


def _made(targets: list[Target], make_timeout: float | None) -> tuple[list[EnvSession], Exception | None]:
    """The environments, made at the same time, because that may take long; and the fault of the first that was not. When an
    exception ends the wait, such as Ctrl-C, those that are still made are given up."""
    made: list[EnvSession | Exception | None] = [None] * len(targets)
    is_given_up = threading.Event()

    def make(index: int) -> None:
        try:
            session = EnvSession(targets[index], make_timeout)
        except Exception as error:
            made[index] = error
            return
        made[index] = session
        if is_given_up.is_set():
            session.connection.try_close()

    threads = [
        Thread(target=make, args=(index,), name="masep-make", daemon=True) for index in range(len(targets))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        is_given_up.set()
        for one in made:
            if isinstance(one, EnvSession):
                one.connection.try_close()
        raise
    sessions = [one for one in made if isinstance(one, EnvSession)]
    failed = next((one for one in made if isinstance(one, Exception)), None)
    # An exception has the frames in which it was raised, which have this.
    made.clear()
    return sessions, failed


class RemoteVectorEnv(Specified, _blocks.Live, VectorEnv[Any, Any, Any]):
    """Environments of one server, or of several: all actions go out, then all answers come in.

    :param address: as for :class:`RemoteEnv`; of several servers, the environments take turns
    :param num_envs: connections, each with an environment of its own
    :param render_mode: as for :class:`RemoteEnv`
    :param autoreset_mode: what the server does behind the end of an episode: a mode of Gymnasium's, or its name
    :param copy: whether observations belong to the caller; else each step writes into the same array
    :param lost: what happens when the connection to an environment ends: ``"raise"`` :class:`LostEnvironment`, or
        ``"remake"`` it, which is reported as a truncation, with ``"lost"`` in its info. A :meth:`reset` makes it anew in
        both cases, with the seed and the options that it was given
    :param timeout: seconds for each answer; None: for ever
    :param make_timeout: seconds for the server to make an environment
    :param id: the name by which the server shall know this client; each connection has its number behind it
    :param limits: what each connection is bound by
    :param socket_options: how sockets are opened, watched and waited for
    :param tls_ca: as for :func:`masep.connect`
    :param tls_name: as for :func:`masep.connect`
    :param token: as for :func:`masep.connect`
    :param arguments: those of the environments, as far as the server allows them
    :raises MasepError: as :class:`RemoteEnv` does
    """

    def __init__(
        self,
        address: str | Sequence[str],
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        lost: Literal["raise", "remake"] = "raise",
        timeout: float | None = None,
        make_timeout: float | None = None,
        id: str | None = None,
        limits: Limits | None = None,
        socket_options: SocketOptions | None = None,
        tls_ca: _tls.Path | None = None,
        tls_name: str | None = None,
        token: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        check_timeouts(timeout, make_timeout)
        if lost not in ("raise", "remake"):
            raise CallerError(f"lost is 'raise' or 'remake', not {lost!r}")
        arguments = without_window(arguments, render_mode)
        addresses = [address] if isinstance(address, str) else list(address)
        if not addresses:
            raise CallerError("there is no address of a server")
        check_count("num_envs", num_envs)
        limits = LIMITS if limits is None else limits
        try:
            mode = AutoresetMode(autoreset_mode)
        except ValueError:
            known = ", ".join(repr(one.value) for one in AutoresetMode)
            raise CallerError(f"autoreset_mode is one of {known}, not {autoreset_mode!r:.100}") from None
        self.num_envs = num_envs
        self._targets = [
            Target(
                addresses[index % len(addresses)],
                arguments,
                _WORDS[mode],
                f"{id or 'environment'}-{index}",
                limits=limits,
                socket_options=socket_options,
                tls_ca=tls_ca,
                tls_name=tls_name,
                token=token,
            )
            for index in range(num_envs)
        ]
        self.autoreset_mode, self.copy, self._lost = mode, copy, lost
        self._timeout, self._make_timeout = timeout, make_timeout
        self._sessions: list[EnvSession] = []
        #: Those that were made anew: their next step, which the server would make a reset, is one.
        self._anew: set[int] = set()
        self._sessions, failed = _made(self._targets, make_timeout)
        if failed is not None:
            self.close_extras()
            try:
                raise failed
            finally:
                # It has this frame from here on.
                del failed
        self._describe(self._sessions[0])

    def _describe(self, first: EnvSession) -> None:
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        try:
            for index, session in enumerate(self._sessions):
                self._check_spaces(index, session)
        except CallerError:
            self.close_extras()
            raise
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        self.metadata = {**without_human(first.metadata), "autoreset_mode": self.autoreset_mode}
        self.render_mode = first.render_mode
        self._read = reader(first.observation_space)
        self._cast = caster(first.action_space, outwards=True)
        self._last: list[Any] = [None] * self.num_envs
        self._is_done = np.zeros(self.num_envs, np.bool_)
        self._batch = self._empty()

    def _check_spaces(self, index: int, session: EnvSession) -> None:
        spaces = session.observation_space, session.action_space
        if spaces != (self.single_observation_space, self.single_action_space):
            raise CallerError(f"the environment {index} has other spaces than the first")

    def _make_anew(self, index: int) -> EnvSession:
        """An environment in place of one whose connection has ended."""
        session = EnvSession(self._targets[index], self._make_timeout)
        try:
            self._check_spaces(index, session)
        except CallerError:
            session.connection.try_close()
            raise
        self._sessions[index] = session
        return session

    def _empty(self) -> Any:
        return create_empty_array(self.single_observation_space, self.num_envs, np.empty)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """As those of Gymnasium: ``options["reset_mask"]`` says which to reset, all if not given."""
        chosen: Sequence[int] = range(self.num_envs)
        if options is not None and "reset_mask" in options:
            options = dict(options)
            mask = np.asarray(options.pop("reset_mask"))
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise CallerError("reset_mask has a bool for each environment, one of them true")
            chosen = np.flatnonzero(mask).tolist()
        if seed is None or isinstance(seed, int):
            seeds = [None if seed is None else seed + index for index in range(self.num_envs)]
        else:
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise CallerError(f"there are {len(seeds)} seeds for {self.num_envs} environments")
        # They are made anew, and closed once more.
        self.closed = False
        asked: dict[int, dict[str, Any]] = {}
        for index in chosen:
            if self._sessions[index].has_ended:
                self._make_anew(index)
            self._anew.discard(index)
            asked[index] = {"seed": seeds[index], "options": to_wire(options)}
            self._send(index, "reset", asked[index])
        infos: dict[str, Any] = {}
        answers = self._answers(chosen, "reset", asked)
        for index, answer in zip(chosen, answers):
            self._last[index] = self._read(answer["observation"])
            infos = self._add_info(infos, from_wire(answer["info"]), index)
            self._is_done[index] = False
        return self._observations(), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._check_open()
        everywhere = range(self.num_envs)
        if self.autoreset_mode == AutoresetMode.DISABLED and self._is_done.any():
            done = np.flatnonzero(self._is_done).tolist()
            raise CallerError(f"the episodes of the environments {done} are over: reset them")
        cast = [self._cast(action) for action in iterate(self.action_space, actions)]
        if len(cast) != self.num_envs:
            raise CallerError(f"there are {len(cast)} actions for {self.num_envs} environments")
        for index, action in enumerate(cast):
            self._send(index, "step", action)
        rewards = np.zeros(self.num_envs, np.float64)
        terminations = np.zeros(self.num_envs, np.bool_)
        truncations = np.zeros(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        for index, stepped in zip(everywhere, self._answers(everywhere, "step")):
            observation, reward, terminated, truncated, info, rest = stepped
            self._last[index] = self._read(observation)
            rewards[index], terminations[index], truncations[index] = reward, terminated, truncated
            if rest is not None and "final_observation" in rest:
                final = {
                    "final_obs": self._read(rest["final_observation"]),
                    "final_info": from_wire(rest["final_info"]),
                }
                infos = self._add_info(infos, final, index)
            if info:
                infos = self._add_info(infos, from_wire(info), index)
        self._is_done = terminations | truncations
        return self._observations(), rewards, terminations, truncations, infos

    def _check_open(self) -> None:
        if self.closed:
            raise CallerError("the environments are closed: reset makes them anew")

    def _observations(self) -> Any:
        into = self._empty() if self.copy else self._batch
        if any(observation is None for observation in self._last):
            raise CallerError("not all environments were reset")
        return concatenate(self.single_observation_space, self._last, into)

    def render(self) -> tuple[Any, ...] | None:
        self._check_open()
        everywhere = range(self.num_envs)
        for index in everywhere:
            self._send(index, "render", {})
        return tuple(from_wire(answer["frame"]) for answer in self._answers(everywhere, "render"))

    def close_extras(self, **kwargs: Any) -> None:
        closing: list[EnvSession] = []
        for session in self._sessions:
            if not session.has_ended and not session.is_awaited:
                try:
                    session.send("close", {})
                except MasepError:
                    continue
                closing.append(session)
        for session in closing:
            try:
                session.receive("close", CLOSE_SECONDS)
            except (MasepError, TimeoutError):
                # It is closed with its connection.
                pass
        for session in self._sessions:
            session.connection.try_close()

    def _send(self, index: int, kind: str, params: Any) -> None:
        session = self._sessions[index]
        try:
            if kind != "step":
                session.send(kind, params)
            elif index in self._anew:
                # In place of a step that would begin the next episode.
                session.send("reset", {"seed": None, "options": None})
            else:
                session.send_step(params)
        except TransportError:
            # The answer does not come either, which is told then.
            pass

    def _answers(
        self, chosen: Iterable[int], kind: str, asked: dict[int, dict[str, Any]] | None = None
    ) -> list[Any]:
        """The answers of these environments, of which all are waited for, whatever one of them is.

        :param asked: the parameters of resets
        """
        answers: list[Any] = []
        failed: Exception | None = None
        for index in chosen:
            try:
                try:
                    answers.append(self._answer(index, kind))
                except TransportError:
                    # One that was made for this reset is not made once more.
                    if asked is not None and self._sessions[index].last > 1:
                        answers.append(self._make_anew(index).ask("reset", asked[index], self._timeout))
                    elif self._lost == "remake" and kind == "step":
                        answers.append(self._remade(index))
                    else:
                        raise
            except TransportError as error:
                text = f"the environment {index} is lost: {error}"
                failed = failed or LostEnvironment(text, error.reason, index)
            except (MasepError, TimeoutError) as error:
                error.add_note(f"environment {index}")
                failed = failed or error
        if failed is not None:
            try:
                raise failed
            finally:
                # It has this frame from here on, and with it the environments.
                del failed
        return answers

    def _answer(self, index: int, kind: str) -> Any:
        session = self._sessions[index]
        if kind != "step":
            return session.receive(kind, self._timeout)
        if index not in self._anew:
            return session.receive_step(self._timeout)
        answer = session.receive("reset", self._timeout)
        self._anew.discard(index)
        return answer["observation"], 0.0, False, False, answer["info"], None

    def _remade(self, index: int) -> Any:
        """A new environment in place of one that is lost: its first observation ends the episode of the old one."""
        answer = self._make_anew(index).ask("reset", {"seed": None, "options": None}, self._timeout)
        observation, info = answer["observation"], {**answer["info"], "lost": True}
        rest = None
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            self._anew.add(index)
        elif self.autoreset_mode == AutoresetMode.SAME_STEP:
            rest = {"final_observation": deepcopy(observation), "final_info": {}}
        return observation, 0.0, False, True, info, rest
