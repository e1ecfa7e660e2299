"""The communication layer between an engine and its remote agents, compatible with pymasep.

``masep.communication`` has the classes of ``pymasep.communication``.
"""

from ._exceptions import CallerError, LimitError, MasepError, PeerError, TransportError
from ._types import allow_types

__all__ = [
    "CallerError",
    "LimitError",
    "MasepError",
    "PeerError",
    "TransportError",
    "allow_types",
]
