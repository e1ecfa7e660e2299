"""Python values and messages as JSON, in the notation of `masep encode` and `masep decode`.

Plain JSON where it is unambiguous, tags where not: `$tuple`, `$set`, `$dict` (pairs, for keys that plain
JSON cannot hold), `$int` (beyond 64 bits), `$float`, `$bytes_hex`, `$type`, `$xml` (an element), `$py` (any
other object: pymasep sends its type's name and its text).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

from pymasep.communication import Message
from pymasep.utils import method_exists

Json = Any

_PLAIN_INT = range(-(2**63), 2**63)


def to_json(value: Any) -> Json:
    """The notation of one Python value."""
    if value is None or isinstance(value, bool):
        return value
    for kind, write in _WRITERS:
        if type(value) is kind:
            return write(value)
    if type(value) is type:
        return {"$type": f"{value.__module__}.{value.__qualname__}"}
    if isinstance(value, Element):
        return xml_to_json(value)
    if method_exists(value, "to_xml"):
        return xml_to_json(value.to_xml())
    return {
        "$py": f"{type(value).__module__}.{type(value).__qualname__}",
        "name": type(value).__name__,
        "str": str(value),
    }


def message_to_json(message: Message) -> Json:
    """The notation of a message."""
    return {
        "msg_type": message.msg_type,
        "src_sub_app": message.src_sub_app_id,
        "params": to_json(message.params),
    }


def xml_to_json(element: Element) -> Json:
    """An element as text; the white space that follows it is no part of it."""
    tail, element.tail = element.tail, None
    try:
        return {"$xml": tostring(element, encoding="unicode")}
    finally:
        element.tail = tail


def read(body: bytes) -> Json:
    """The content of a message of pymasep's, without loss: also where pymasep's own reader loses or refuses it.

    Written from the rules, without masep and without pymasep's reader, to be the judge of both.
    It takes what pymasep writes; foreign XML has its own expectations.
    """
    root = parse(body)
    params = [_read_value(child) for child in root]
    return {
        "msg_type": root.get("msg_type"),
        "src_sub_app": root.get("src_sub_app"),
        "params": params[0] if params else None,
    }


def parse(body: bytes) -> Element:
    """The root element, by the same parser that pymasep uses."""
    return fromstring(body)


def _read_value(element: Element) -> Json:
    text = element.text or ""
    readers = {
        "NoneType": lambda: None,
        "bool": lambda: text != "False",
        "int": lambda: to_json(int(text)),
        "float": lambda: to_json(float(text)),
        "str": lambda: text,
        "bytes": lambda: to_json(ast.literal_eval(text)),
        "type": lambda: {"$type": _class_name(text)},
        "list": lambda: _items(element),
        "tuple": lambda: {"$tuple": _items(element)},
        "set": lambda: {"$set": _items(element)},
        "dict": lambda: _dict((item.get("key"), _read_value(item[0])) for item in element),
    }
    return readers[element.tag]() if element.tag in readers else xml_to_json(element)


def _items(element: Element) -> list[Json]:
    return [_read_value(item[0]) for item in element]


def _class_name(text: str) -> str:
    name = re.fullmatch(r"<class '(.+)'>", text).group(1)
    return name if "." in name else f"builtins.{name}"


def _int(value: int) -> Json:
    return value if value in _PLAIN_INT else {"$int": str(value)}


def _str(value: str) -> Json:
    if any(0xD800 <= ord(c) < 0xE000 for c in value):
        return {"$codepoints": [ord(c) for c in value]}
    return value


def _dict(pairs: Iterable[tuple[Any, Json]]) -> Json:
    pairs = list(pairs)
    if all(isinstance(key, str) and not key.startswith("$") and isinstance(_str(key), str) for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [[to_json(key), value] for key, value in pairs]}


_WRITERS: list[tuple[type, Any]] = [
    (int, _int),
    (float, lambda value: {"$float": repr(value)}),
    (str, _str),
    (bytes, lambda value: {"$bytes_hex": value.hex()}),
    (list, lambda value: [to_json(item) for item in value]),
    (tuple, lambda value: {"$tuple": [to_json(item) for item in value]}),
    (set, lambda value: {"$set": [to_json(item) for item in value]}),
    (dict, lambda value: _dict((key, to_json(item)) for key, item in value.items())),
]


def canonical(value: Json) -> Json:
    """The same value in the one form that comparisons use.

    Floats are tagged, sets are sorted, `$py` becomes the element that goes over the wire, and a `$xml` is
    parsed and written again, so that two writers of the same element agree.
    """
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$set" in value:
        return {"$set": sorted((canonical(item) for item in value["$set"]), key=repr)}
    if "$py" in value:
        one = Element(value["name"])
        one.text = value["str"]
        return xml_to_json(one)
    if "$xml" in value:
        return xml_to_json(parse(value["$xml"].encode("utf-8", "surrogatepass")))
    if "$dict" in value:
        return _dict((key, canonical(item)) for key, item in value["$dict"])
    return {key: canonical(item) for key, item in value.items()}
