"""The plain values that are sent for objects that have no form of their own on the wire.

Nothing is sent as its ``str``: an array of numpy would arrive as a few of its numbers and dots.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import is_dataclass

from ._exceptions import CallerError

_PLAIN = (str, bytes, dict, list, tuple, set, float, int)
"""The classes of which the protocol has a form; objects of their subclasses are converted first."""


def plain(value: object, place: str) -> object:
    """The plain object for which this one stands: the bytes of a ``bytearray`` or ``memoryview``, the
    number of a scalar of numpy.

    :param place: where it stands, such as ``params['o'][3]``
    :raises CallerError: if it stands for none: where it is, and what can be sent instead
    """
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if _is_numpys(value, "generic"):
        item: object = value.item()  # type: ignore[attr-defined]
        # Of some it gives the scalar itself, such as a longdouble.
        if not _is_numpys(item, "generic"):
            return item
    kind = type(value)
    raise CallerError(
        f"{place} is of {kind.__module__}.{kind.__qualname__}, which cannot be sent: {_advice(value)}"
    )


def _is_numpys(value: object, name: str) -> bool:
    # Without an import of it there are none.
    known = getattr(sys.modules.get("numpy"), name, None)
    return isinstance(known, type) and isinstance(value, known)


def _advice(value: object) -> str:
    """The value that can be sent instead."""
    if isinstance(value, type):
        return (
            "name the class, masep.TypeName"
            f"({f'{value.__module__}.{value.__qualname__}'!r})"
        )
    if isinstance(value, enum.Enum):
        return "send its .value or its .name"
    if _is_numpys(value, "ndarray"):
        return "send its .tolist(), or its .tobytes() with its shape and its dtype"
    if _is_numpys(value, "generic"):
        return "convert it, as by float()"
    if is_dataclass(value):
        return "send dataclasses.asdict() of it, or give its class a method to_xml()"
    if hasattr(value, "nsmap"):
        return "send xml.etree.ElementTree.fromstring(lxml.etree.tostring()) of it"
    if isinstance(value, frozenset):
        return "send set() of it"
    for plain_class in _PLAIN:
        if isinstance(value, plain_class):
            return f"send {plain_class.__name__}() of it"
    return "send the plain objects that it consists of, or give its class a method to_xml()"
