"""The hooks with which cbor2 reads and writes the values of protocol 2: PROTOCOL2.md.

It knows sets, bignums and all floats. Tuples, classes, elements and arrays are tags that it hands over as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import numpy as np

ARRAY, SET, TUPLE, TYPE, ELEMENT, BOOL = 40, 258, 39_731, 39_732, 39_733, 39_734

WRITTEN = {
    "uint8": 64,
    "uint16": 69,
    "uint32": 70,
    "uint64": 71,
    "int8": 72,
    "int16": 77,
    "int32": 78,
    "int64": 79,
    "float16": 84,
    "float32": 85,
    "float64": 86,
}
"""The tags of typed arrays whose items are little endian, or of one byte."""

BIG_ENDIAN = {65: ">u2", 66: ">u4", 67: ">u8", 73: ">i2", 74: ">i4", 75: ">i8", 80: ">f2", 81: ">f4", 82: ">f8"}

DTYPES = {tag: np.dtype(name).newbyteorder("<") for name, tag in WRITTEN.items()}
DTYPES.update((tag, np.dtype(name)) for tag, name in BIG_ENDIAN.items())


@dataclass(frozen=True)
class Type:
    """A class, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Element:
    """An XML element, and the text behind it."""

    xml: str
    tail: str = ""


def typed_array(array: np.ndarray[Any, Any]) -> cbor2.CBORTag:
    """The items of an array, row-major and little endian."""
    if array.dtype == np.bool_:
        return cbor2.CBORTag(BOOL, typed_array(array.view(np.uint8)))
    little = array.astype(array.dtype.newbyteorder("<"), order="C")
    return cbor2.CBORTag(WRITTEN[array.dtype.name], little.tobytes())


def with_tags(value: Any) -> Any:
    """The value with the tags that cbor2 does not write itself."""
    if isinstance(value, np.ndarray):
        return cbor2.CBORTag(ARRAY, [list(value.shape), typed_array(value)])
    if isinstance(value, tuple):
        return cbor2.CBORTag(TUPLE, [with_tags(item) for item in value])
    if isinstance(value, list):
        return [with_tags(item) for item in value]
    if isinstance(value, set):
        return cbor2.CBORTag(SET, [with_tags(item) for item in value])
    if isinstance(value, dict):
        return {key: with_tags(item) for key, item in value.items()}
    if isinstance(value, Type):
        return cbor2.CBORTag(TYPE, value.name)
    if isinstance(value, Element):
        return cbor2.CBORTag(ELEMENT, [value.xml, value.tail] if value.tail else value.xml)
    return value


def dumps(value: Any) -> bytes:
    """The value in CBOR."""
    return cbor2.dumps(with_tags(value))


def without_tags(value: Any) -> Any:
    """The value that tags stand for: the inverse of `with_tags`."""
    # Behind a tag, cbor2 makes tuples of arrays; those of Python have a tag of their own.
    if isinstance(value, list | tuple):
        return [without_tags(item) for item in value]
    if isinstance(value, set | frozenset):
        return {without_tags(item) for item in value}
    if isinstance(value, dict):
        return {key: without_tags(item) for key, item in value.items()}
    if not isinstance(value, cbor2.CBORTag):
        return value
    tag, content = value.tag, without_tags(value.value)
    if tag in DTYPES:
        return np.frombuffer(content, DTYPES[tag])
    made: dict[int, Callable[[Any], Any]] = {
        ARRAY: lambda pair: pair[1].reshape(pair[0]),
        BOOL: lambda items: items.view(np.bool_),
        TUPLE: tuple,
        TYPE: Type,
        ELEMENT: lambda xml: Element(xml) if isinstance(xml, str) else Element(*xml),
    }
    return made[tag](content)


def loads(data: bytes) -> Any:
    """The value of CBOR."""
    return without_tags(cbor2.loads(data))
