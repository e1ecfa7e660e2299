"""``Server``, where pymasep has it."""

from ._server import Server

__all__ = ["Server"]
