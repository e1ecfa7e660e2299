"""Calls that wait, for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from ._exceptions import CallerError

_T = TypeVar("_T")


def check_loop_runs() -> None:
    """Refuses what is made for an event loop where none runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        text = "servers and tables of masep.aio are made in a coroutine, and no event loop runs here: asyncio.run(...)"
        raise CallerError(f"{text} runs one, and those of masep itself need none") from None


async def in_thread(call: Callable[[], _T]) -> _T:
    """Makes a call that waits. When it is cancelled, the call goes on to its end, and what comes of
    it is dropped: a connection then says ``BYE``."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()
    # Not one of the loop's own threads, for whose end the interpreter waits.
    threading.Thread(target=_run, args=(call, loop, done), name="masep-aio", daemon=True).start()
    try:
        return await done
    finally:
        # An error has this frame, and must not be had by it: nobody would free them.
        del done


def _run(
    call: Callable[[], _T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[_T]
) -> None:
    error, result = None, None
    try:
        result = call()
    except BaseException as raised:
        error = raised
    try:
        loop.call_soon_threadsafe(_finish, done, error, result)
    except RuntimeError:
        # The loop has been closed: nobody waits any more.
        pass
    finally:
        # As above.
        del error, done


def _finish(done: asyncio.Future[_T], error: BaseException | None, result: _T | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)  # type: ignore[arg-type]
