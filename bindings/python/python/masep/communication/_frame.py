"""Frames."""

from __future__ import annotations

from typing import ClassVar


class Frame:
    """The body of one frame: the bytes of a message, an id, or ``BYE``.

    :param msg: the bytes; at most 65,535 can be sent
    """

    size: int
    message: bytes

    def __init__(self, msg: bytes) -> None:
        if type(msg) is not bytes:
            raise TypeError(f"the body of a frame is bytes, not {type(msg).__name__}")
        self.size = len(msg)
        self.message = msg

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return self.message == other.message

    # Frames can be changed.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = self.message if self.size <= 60 else self.message[:57] + b"..."
        return f"{type(self).__name__}({shown!r})"

    @classmethod
    def hello_frame(cls, ident: str) -> Frame:
        """The first frame on a connection: the id of the one who sends it."""
        return Frame(ident.encode())

    @classmethod
    def bye_frame(cls) -> Frame:
        """The frame that ends a connection."""
        return Frame(b"BYE")
