"""``Frame``, where pymasep has it."""

from ._frame import Frame

__all__ = ["Frame"]
