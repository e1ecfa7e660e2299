"""``Message``, where pymasep has it."""

from ._message import Message

__all__ = ["Message"]
