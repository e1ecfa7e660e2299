"""The values to encode, by subject: each subject gives (name, value) pairs; each value becomes one parameter."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest import TestCase
from xml.etree.ElementTree import Element, SubElement

from pymasep.circular_head_list import CircularHeadList
from pymasep.common import Action
from pymasep.communication import Frame, Message

Cases = Iterator[tuple[str, Any]]

#: Characters at the borders of what XML, UTF-8 and ElementTree treat alike.
BORDER_CHARACTERS = [
    *(chr(c) for c in range(0x20)),
    "\x7f",
    "\x80",
    "\x85",
    "\xa0",
    "\xff",
    "\u07ff",
    "\u0800",
    "\u2028",
    "\ud7ff",
    "\ue000",
    "\ufdd0",
    "\ufeff",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "\U00010000",
    "\U0001f3ee",
    "\U0010ffff",
]


def texts() -> Cases:
    """Strings: every border character, markup, and texts that look like something else."""
    for c in BORDER_CHARACTERS:
        yield f"char/{ord(c):04x}", f"<{c}>"
    for c in string.punctuation + " ":
        yield f"punctuation/{ord(c):02x}", f"{c}a{c}{c}"
    looks = {
        "empty": "",
        "space": " ",
        "spaces": "  two  ",
        "newline": "\n",
        "crlf": "a\r\nb\rc",
        "tab": "\t",
        "cdata": "<![CDATA[x]]>",
        "end of cdata": "]]>",
        "entity": "&amp;&#65;&lt;",
        "comment": "<!-- -->",
        "None": "None",
        "False": "False",
        "number": "-12",
        "word empty": "empty",
        "element": "<str>x</str>",
        "class": "<class 'int'>",
        "class of ours": "<class 'lanterns.game.LanternsGame'>",
        "nearly class": " <class 'x'>",
        "long": "ñ<&>" * 300,
        "combining": "e\u0301 \u200d \u202e",
        "flags": "🇸🇪👩🏽‍🚀",
    }
    for name, text in looks.items():
        yield f"looks/{name}", text


def numbers() -> Cases:
    """Ints of all sizes, floats at the borders of repr's forms, bools."""
    ints = [
        0,
        1,
        -1,
        255,
        2**31,
        -(2**31) - 1,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        2**63,
        -(2**63) - 1,
        2**64,
        10**100,
        -(7**300),
    ]
    for value in ints:
        yield f"int/{str(value)[:24]}", value
    floats = [
        0.0,
        1.0,
        -1.5,
        0.1,
        0.1 + 0.2,
        1 / 3,
        100.0,
        123456789.123,
        9007199254740993.0,
        4.35,
        2.675,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        float("inf"),
        float("-inf"),
        float("nan"),
    ]
    floats += [float(f"1e{power}") for power in range(-7, 25)] + [
        float(f"-1.25e{power}") for power in (-310, -5, -4, 15, 16, 17)
    ]
    for value in dict.fromkeys(floats):
        yield f"float/{value!r}", value
    yield "float/-0.0", -0.0
    yield "bool/True", True
    yield "bool/False", False
    yield "none", None


def containers() -> Cases:
    """Empty ones, each kind in each kind, keys that need care, depth."""
    for empty in ([], (), set(), {}):
        yield f"empty/{type(empty).__name__}", empty
    wrap = {"list": lambda v: [v], "tuple": lambda v: (v,), "dict": lambda v: {"k": v}}
    for outer, put in wrap.items():
        for name, value in [
            ("int", 7),
            ("str", "é"),
            ("", ""),
            ("None", None),
            ("False", False),
            ("float", -0.5),
            ("list", []),
            ("tuple", ()),
            ("dict", {}),
            ("set", {3}),
            ("type", int),
            ("bytes", b"\x00'"),
        ]:
            yield f"in {outer}/{name}", put(value)
            yield f"in {outer} twice/{name}", put(put(value))
    for name, value in {
        "ints": {1, 2, 3},
        "text": {"ü"},
        "tuple": {(1, "a", None)},
        "None": {None},
        "float": {0.5},
    }.items():
        yield f"set/{name}", value
    for c in [*BORDER_CHARACTERS, *"&<>\"'=$/ ", ""]:
        yield f"key/{'-'.join(f'{ord(x):04x}' for x in c)}", {f"{c}": 1, f"k{c}": [c]}
    yield "keys/order", {"z": 1, "a": 2, "m": {"9": 1, "10": 2, "1": 3}}
    yield "keys/like tags", {"$tuple": [1], "$": 2, "item": 3, "key": 4}
    deep: Any = "bottom"
    for level in range(60):
        deep = [deep] if level % 2 else {"k": deep}
    yield "deep", deep
    yield "wide", [list(range(60)), ["x"] * 60]


def others() -> Cases:
    """Bytes, classes, and objects that pymasep has no form for: it sends their type's name and their text."""
    for value in [b"", b"abc", b"it's", b'"', b"'\"", bytes(range(0, 256, 7)), b"\r\n\t\\"]:
        yield f"bytes/{value.hex()[:20]}", value
    for cls in [
        int,
        str,
        dict,
        type,
        type(None),
        object,
        Message,
        Frame,
        CircularHeadList,
        TestCase,
        Element,
    ]:
        yield f"class/{cls.__module__}.{cls.__qualname__}", cls
    for value in [
        Decimal("1.50"),
        Fraction(1, 3),
        1 + 2j,
        range(3),
        frozenset({5}),
        bytearray(b"x<"),
        Ellipsis,
    ]:
        yield f"object/{type(value).__name__}", value


class Xml:
    """An object that pymasep asks for its XML; an Element itself it would send as its repr."""

    def __init__(self, element: Element) -> None:
        self._element = element

    def to_xml(self) -> Element:
        """The element."""
        return self._element


def elements() -> Cases:
    """Actions, circular lists and other elements."""

    def action(kind: int, **parameters: Any) -> Action:
        made = Action(environment=None, action_type=kind)
        for name, value in parameters.items():
            made.add_parameter(name, value)
        return made

    yield "action/plain", action(0)
    yield "action/negative", action(-7)
    for name, value in [
        ("int", 3),
        ("str", "a<é>"),
        ("empty str", ""),
        ("None", None),
        ("bool", True),
        ("list", [1, []]),
        ("tuple", (1, (2, "x"))),
        ("dict", {"a": {"b": ()}}),
        ("set", {4}),
        ("float", 0.25),
        ("class", Message),
    ]:
        yield f"action/{name}", action(2, value=value)
    yield "action/several", action(1000, x=1, y="two", z=(3,), **{'n"am<e': None})
    yield "action/in action", action(3, inner=action(4, deeper=action(5, leaf="")))
    yield "actions in list", [action(1), action(2, a=1)]
    circle = CircularHeadList(["a", "ü", ""])
    yield "circular/three", circle
    circle = CircularHeadList(["a", "b", "c"])
    circle.move_head_next()
    circle.move_head_next()
    yield "circular/moved", circle
    yield "circular/empty", CircularHeadList()
    yield "circular/mixed", CircularHeadList([1, (2, None), {"k": []}])
    element = Element("Mixed", {"a": '1\n2\t"3"<>&\'é', "b": ""})
    SubElement(element, "empty").tail = " tail & "
    child = SubElement(element, "child", x="")
    child.text = "text < ]]> ñ"
    child.tail = "\n"
    yield "element/mixed", Xml(element)
    yield "element/name not ASCII", Xml(Element("Übung", {"é": "ü"}))
    yield "element/bare", Xml(Element("x"))
    yield "element/in dict", {"one": Xml(element), "two": [Xml(element)]}


def accidental() -> Cases:
    """Nested values by chance, always the same: what nobody would have thought of."""
    rng = random.Random("masep vectors")
    for number in range(160):
        yield f"{number:03d}", _some_value(rng, 0)


_LETTERS = "ab é漢🏮<>&\"' \t\n;=#x0]\u00a0"


def _some_text(rng: random.Random) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(0, 9)))


def _some_value(rng: random.Random, depth: int) -> Any:
    scalars = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.randrange(-(10 ** rng.randrange(1, 22)), 10**9),
        lambda: rng.uniform(-1, 1) * 10.0 ** rng.randrange(-12, 22),
        lambda: _some_text(rng),
        lambda: rng.randbytes(rng.randrange(0, 6)),
    ]
    if depth > 3 or rng.random() < 0.3:
        return rng.choice(scalars)()
    size = rng.randrange(0, 4)
    make = rng.choice(["list", "tuple", "dict"])
    if make == "dict":
        return {_some_text(rng): _some_value(rng, depth + 1) for _ in range(size)}
    items = [_some_value(rng, depth + 1) for _ in range(size)]
    return items if make == "list" else tuple(items)


SUBJECTS = {f.__name__: f for f in (texts, numbers, containers, others, elements, accidental)}
