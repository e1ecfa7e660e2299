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
    """The plain object for which this one stands: the bytes of a ``bytearray``, or of a ``memoryview`` of
    bytes; the number of a scalar of numpy; the array of a tensor. An object with a buffer is a plain one.

    :param place: where it stands, such as ``params['o'][3]``
    :raises CallerError: if it stands for none: where it is, and what can be sent instead
    """
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, memoryview):
        try:
            is_bytes = value.format == "B" and value.ndim == 1
        except ValueError as error:
            # It was released.
            raise CallerError(f"{place}: {error}") from None
        if is_bytes:
            return bytes(value)
    if _is_numpys(value, "generic"):
        # A time would be a number without its unit, and a record a tuple: arrays of them are refused too.
        if value.dtype.kind not in "MmV":  # type: ignore[attr-defined]
            item: object = value.item()  # type: ignore[attr-defined]
            # Of some it gives the scalar itself, such as a longdouble.
            if isinstance(item, (bool, int, float, str, bytes)) and not _is_numpys(item, "generic"):
                return item
        raise _refusal(value, place, _advice_on_items(value, value.dtype, None))  # type: ignore[attr-defined]
    if isinstance(value, _known("torch", "Tensor")):
        return _array_of(value, place)
    if isinstance(value, _known("numpy.ma", "MaskedArray")):
        raise _refusal(value, place, "send its .filled(), and its mask beside it")
    if not isinstance(value, bytes) and _has_buffer(value):
        return value
    raise _refusal(value, place, _advice(value))


def no_array(value: object, place: str, format: str | None) -> CallerError:
    """The exception for an object with a buffer that is no array of numbers or bools.

    :param format: of its items, as the module ``struct`` has it; None if the buffer cannot be had
    """
    dtype = getattr(value, "dtype", None)
    items = f"format {format!r}" if dtype is None else f"dtype {dtype}"
    kind = type(value)
    return CallerError(
        f"{place} is of {kind.__module__}.{kind.__qualname__} with items of {items}, which cannot be "
        f"sent: {_advice_on_items(value, dtype, format)}"
    )


def _advice_on_items(value: object, dtype: object, format: str | None) -> str:
    """Advice on what can be sent instead of an array of such items."""
    kind = getattr(dtype, "kind", "")
    if kind == "c":
        return "send its .real and its .imag"
    if kind in ("M", "m"):
        return "send its .astype('int64')"
    if kind in ("i", "u", "f") and getattr(dtype, "isnative", True) is False:
        return "send it in the order of bytes of this machine, .astype(value.dtype.newbyteorder('='))"
    if kind == "f":
        return "send its .astype('float64')"
    if kind == "V" and getattr(dtype, "names", None) is None:
        is_raw = getattr(dtype, "type", None) is _known("numpy", "void")
        return "send its .tobytes()" if is_raw else "send its .astype('float32')"
    if kind == "V":
        return "send an array for each of its fields"
    if kind in ("O", "U", "S", "T"):
        return "send its .tolist()"
    if format is not None and format[:1] in (">", "!"):
        return "send it in the order of bytes of this machine"
    return "send numbers or bools: of 8 to 64 bits, or floats of 16 to 64 bits"


def _array_of(tensor: object, place: str) -> object:
    """The array of numpy with the items of a tensor, which is on the CPU then."""
    try:
        return tensor.numpy(force=True)  # type: ignore[attr-defined]
    except (TypeError, RuntimeError, ImportError) as error:
        dtype = getattr(tensor, "dtype", None)
        advice = f"send its .float(), or its .tolist() ({error})"
        raise CallerError(f"{place} is of {type(tensor).__module__}.{type(tensor).__qualname__} with "
                          f"items of dtype {dtype}, which cannot be sent: {advice}") from None


def _has_buffer(value: object) -> bool:
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except (ValueError, BufferError):
        # There is one, which cannot be had: the reason is told where it is read.
        pass
    return True


def _refusal(value: object, place: str, advice: str) -> CallerError:
    kind = type(value)
    return CallerError(
        f"{place} is of {kind.__module__}.{kind.__qualname__}, which cannot be sent: {advice}"
    )


def _is_numpys(value: object, name: str) -> bool:
    return isinstance(value, _known("numpy", name))


def _known(module: str, name: str) -> type | tuple[()]:
    """A class of a module, for ``isinstance``. Without an import of the module it has no objects."""
    known = getattr(sys.modules.get(module), name, None)
    return known if isinstance(known, type) else ()


def _advice(value: object) -> str:
    """The value that can be sent instead."""
    if isinstance(value, type):
        return (
            "name the class, masep.TypeName"
            f"({f'{value.__module__}.{value.__qualname__}'!r})"
        )
    if isinstance(value, enum.Enum):
        return "send its .value or its .name"
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
