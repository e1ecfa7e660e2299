"""The classes of ``pymasep.communication``, on the crates of masep: change the import and nothing
else."""

from ._frame import Frame
from ._message import Message

__all__ = ["Frame", "Message"]
