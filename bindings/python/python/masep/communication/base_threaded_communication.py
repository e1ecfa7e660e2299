"""``BaseThreadedCommunication``, where pymasep has it."""

from ._base import BaseThreadedCommunication

__all__ = ["BaseThreadedCommunication"]
