"""The server's process: it hears clients, and hands each to a worker of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from types import NoneType
from typing import Any, ClassVar, Generic, TypeVar

from .. import _admitting, _blocks, _tls
from .._blocking import Request, Server
from .._exceptions import CallerError
from .._interrupts import wait
from .._limits import Limits, ServerLimits, SocketOptions
from .._listening import Rejection
from .._table import _names
from . import workers
from .looking import Looks
from .remote import check_count
from .session import PROFILE
from .worker import Setting, Wish
from .workers import Workers

_log = logging.getLogger("masep")

MOST_OF_NAME = 128
"""The characters of a name that fit into WELCOME, whatever they are."""

E = TypeVar("E")


class EnvironmentServer(_blocks.Block, Generic[E]):
    """Serves environments: each client has its own, in a process of its own. Those of each package derive from it."""

    #: The part of a worker that knows the environments.
    _setting: ClassVar[type[Setting]]
    #: The kinds of environments that a client may ask for, and the modes of autoreset.
    _kinds: ClassVar[tuple[str, ...]]
    _autoresets: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        env: E,
        address: str,
        *,
        envs: int = 8,
        arguments: dict[str, Any] | None = None,
        allow: Iterable[str] = ("render_mode",),
        drop_formless: bool = False,
        id: str = "environments",
        start_method: str = "forkserver",
        limits: Limits | None = None,
        server_limits: ServerLimits | None = None,
        socket_options: SocketOptions | None = None,
        tls_cert: _tls.Path | None = None,
        tls_key: _tls.Path | None = None,
        tls: _tls.Mode | None = None,
        tokens: str | os.PathLike[str] | None = None,
        admit: _admitting.Admit | None = None,
    ) -> None:
        """
        :param env: the environments, see the class
        :param address: ``"host:port"``; port 0 takes a free one, see :attr:`target`. Or ``"unix:///path"``
        :param envs: worker processes, which is the most clients at a time
        :param arguments: arguments for each environment
        :param allow: the names of those that a client may set
        :param drop_formless: whether an object of an info that cannot be sent is left out; else the client gets an
            error that names its place
        :param id: the id by which clients know the server
        :param start_method: how worker processes begin: ``"forkserver"`` or ``"spawn"``
        :param limits: what each connection is bound by
        :param server_limits: what the server is bound by, before a worker has a client
        :param socket_options: how sockets are watched and waited for
        :param tls_cert: as for :class:`masep.Server`: clients are in TLS, at ``"masep+tls://host:port"``. The keys stay in
            the server's process, in which a thread for each such client moves its bytes from and to its worker; one
            without TLS has its worker at the socket itself. docs/performance.md says what that costs
        :param tls_key: the file with its key
        :param tls: as for :class:`masep.Server`
        :param tokens: a file of access tokens, as for :class:`masep.Server`: only clients that say one of them get a
            worker. A token goes over TLS and Unix sockets alone. One that is taken out of the file, or expires, ends the
            connections of its clients, whatever their environments do
        :param admit: in place of ``tokens``, a function that says whether a client gets a worker, as for
            :class:`masep.Server`. It is called in this process
        :raises CallerError: for an argument that is none
        :raises OSError: if the address cannot be had
        :raises RuntimeError: if no worker comes up
        """
        check_count("envs", envs)
        if start_method not in ("forkserver", "spawn"):
            raise CallerError(f"start_method is 'forkserver' or 'spawn', not {start_method!r}")
        self._allowed = frozenset(_names("allow", allow))
        if not isinstance(arguments, (dict, NoneType)):
            raise CallerError(f"arguments is a dict, not a {type(arguments).__name__}")
        #: As clients are told it. Not all texts are names.
        self._name: str | None = None
        if isinstance(env, str) and env.isprintable() and len(env) <= MOST_OF_NAME:
            self._name = str(env)
        self._server = Server(
            id,
            address,
            limits=limits,
            server_limits=server_limits,
            socket_options=socket_options,
            protocol=2,
            ask=True,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls=tls,
            tokens=tokens,
            admit=admit,
        )
        try:
            setting = self._setting(id, env, arguments or {}, drop_formless, limits, socket_options)
            setting.check()
            self._workers = Workers(setting, envs, start_method)
        except BaseException:
            self._server.shutdown(0.0)
            raise
        self._looks = Looks(self._server)
        #: No more clients are given to the workers.
        self._has_heard_all = threading.Event()
        threading.Thread(target=self._hear, name="masep-requests", daemon=True).start()
        workers.ends_at_exit(self)
        try:
            self._workers.wait_until_up()
            if self._workers.failure is not None:
                raise RuntimeError(self._workers.failure)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        package = type(self).__module__.removesuffix("._server")
        return f"<{package}.EnvironmentServer at {self.target}>"

    @property
    def target(self) -> str:
        """The address on which it listens, for clients."""
        return self._server.target

    def kick(self, *, id: str | None = None, token: str | None = None, address: str | None = None) -> int:
        """Ends the connections of the clients with this id, of those with the access token of this name, or of those
        from this IP address, with the code ``kicked``: their number. They may come back, unless they are banned. Does
        not wait: a worker that is not done with its client within 5 seconds is killed.

        :raises CallerError: unless one of the three is given
        """
        return self._server.kick(id=id, token=token, address=address)

    def ban(self, *, id: str | None = None, token: str | None = None, address: str | None = None) -> int:
        """As :meth:`kick`, and refuses all that come, with the code ``banned``, until :meth:`unban` or the end of
        the server.

        :raises CallerError: unless one of the three is given
        """
        return self._server.ban(id=id, token=token, address=address)

    def unban(self, *, id: str | None = None, token: str | None = None, address: str | None = None) -> bool:
        """Lets these come again: False if they were not banned.

        :raises CallerError: unless one of the three is given
        """
        return self._server.unban(id=id, token=token, address=address)

    def rejections(self) -> list[Rejection]:
        """The clients that were not let in since the last call, and why: the newest 256 of them. Those that got no worker
        for what they wanted are among them, with the reason ``"denied"``."""
        return self._server.rejections()

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the server has ended.

        :raises RuntimeError: if no worker comes up any more
        """
        self._workers.wait(timeout)
        if self._workers.failure is not None:
            raise RuntimeError(self._workers.failure)

    def close(self, timeout: float | None = None) -> None:
        """Ends the server: clients are told so, environments are closed, and processes that take longer are
        killed. When an exception ends it, such as Ctrl-C, the next call goes on with it. A program that comes to its end
        does it too.

        :param timeout: seconds that this takes at most; 5 if not given
        """
        until = time.monotonic() + (workers.LEAVE_SECONDS if timeout is None else timeout)
        self._server.stop_accepting()
        wait(self._has_heard_all)
        self._looks.wait()
        self._workers.close(max(0.0, until - time.monotonic()))
        # The last words of workers to clients in TLS are still on their way.
        self._server.shutdown(max(0.0, until - time.monotonic()))

    def _leave(self, error: BaseException | None) -> None:
        self.close()

    def _hear(self) -> None:
        """Gives the clients that arrive to the workers."""
        try:
            while (request := self._server.next_request()) is not None:
                try:
                    self._judge(request)
                except Exception:
                    _log.exception("a client is refused: what it wants cannot be judged")
                    request.refuse()
        finally:
            self._has_heard_all.set()

    def _judge(self, request: Request) -> None:
        """Gives a client to the workers, unless it is refused for what it wants."""
        hello = request.hello
        if hello.profile != PROFILE:
            text = f"this server has environments: the profile {PROFILE!r}"
            request.refuse("unsupported_profile", text)
            return
        make = hello.make or {}
        if make.get("look") is True:
            self._looks.admit(request, self._name, len(self._workers), self._workers.idle())
            return
        try:
            wish = self._wish(make)
        except ValueError as error:
            request.refuse("bad_arguments", str(error))
        else:
            self._workers.give(request, wish)

    def _wish(self, make: dict[str, Any]) -> Wish:
        """The environment that a client asks for, by any values.

        :raises ValueError: if it is refused
        """
        kind = _given(make, "kind", "gymnasium")
        if kind not in self._kinds:
            raise ValueError(f"the environments here are of the kind {' or '.join(self._kinds)}, not {kind!r:.100}")
        arguments = _given(make, "arguments", {})
        unknown = [key for key in arguments if key not in self._allowed]
        if unknown:
            raise ValueError(f"this server does not allow the argument {unknown[0]!r:.100}")
        mode = arguments.get("render_mode")
        if isinstance(mode, str) and mode == "human":
            raise ValueError("the render mode 'human' would open a window where the environment runs")
        autoreset = _given(make, "autoreset", "disabled")
        if autoreset not in self._autoresets:
            raise ValueError(f"autoreset is one of {', '.join(self._autoresets)}, not {autoreset!r:.100}")
        return Wish(arguments, autoreset, kind)


T = TypeVar("T", str, dict[str, Any])


def _given(make: dict[str, Any], key: str, default: T) -> T:
    """The value that was given, or that which is meant where there is none.

    :raises ValueError: if it is of another kind
    """
    given = make.get(key)
    if given is None:
        return default
    if not isinstance(given, type(default)):
        raise ValueError(f"{key} is a {'text' if isinstance(default, str) else 'map'}")
    return given
