"""``Client``, where pymasep has it."""

from ._client import Client

__all__ = ["Client"]
