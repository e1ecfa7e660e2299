"""The part that all live things have in common: what ends at the end of a `with` block, and cannot be copied."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from ._exceptions import CallerError


INTERRUPTED_SECONDS = 1.0
"""The longest wait of a block that Ctrl-C or a cancellation ends, for a peer that has not taken all. The end of the
connection goes on then."""


def patience(
    error: BaseException | None, *interrupts: type[BaseException]
) -> float | None:
    """The longest wait of a block that this ends, in seconds; None for as long as the peer takes something."""
    return INTERRUPTED_SECONDS if isinstance(error, (KeyboardInterrupt, *interrupts)) else None


def shown(kind: str, fact: Callable[[], str]) -> str:
    """The text for people of something of this kind. A process that was forked has it too, and cannot ask it for a fact: a
    text for people is no place for an error."""
    try:
        return f"<{kind} {fact()}>"
    except CallerError:
        return f"<{kind} of another process>"


class Live:
    """Something that stands for what one process has, such as a socket."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise CallerError(f"a {name} cannot be copied or pickled: it belongs to the process in which it was made")


class Block(Live):
    """A context manager that gives itself."""

    __slots__ = ()

    def _leave(self, error: BaseException | None) -> None:
        """Called at the end of the block, with the exception that ends it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error)


class AsyncBlock(Live):
    """The same for ``async with``."""

    __slots__ = ()

    async def _leave(self, error: BaseException | None) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave(error)
