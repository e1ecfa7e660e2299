"""The start of a game, as values; and those values as the XML nodes that pymasep creates from."""

from __future__ import annotations

import random
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from pymasep.common import BaseObject, Environment
from pymasep.utils import native_type_to_xml

WIDTH, HEIGHT = 9, 6
LANTERNS = 5
#: Text that needs every kind of escaping: markup, quotes, white space, non-ASCII, beyond 16 bits.
NOTICE = "keep <calm> & \"carry\" 'on'\n\tthe harbour is closed at 23h — 灯 🏮"

Values = dict[str, Any]


def player() -> Values:
    """A player's characteristics, but for its position."""
    return {
        "carried": ["flint", "tinder"],
        "satchel": {},
        "title": "",
        "tired": False,
    }


def harbour(rules: type) -> Values:
    """The place: one characteristic of every type that pymasep has, and floats and None inside."""
    return {
        "size": (WIDTH, HEIGHT),
        "title": "Hafen der Laternen – 灯りの港",
        "motto": "",
        "notice": NOTICE,
        "rules": rules,
        "foggy": False,
        "tides": [1, [2, (3, -4)], [], {"low": "06:10"}],
        "visited": {0},
        "ledger": {
            "fee": 0.1,
            "balance": -2.5e-07,
            "harbour master": None,
            "open": True,
            "closed": False,
            "marks": (1.0, "", [None, {}]),
        },
    }


def lanterns(rng: random.Random, count: int = LANTERNS) -> list[Values]:
    """The lanterns, none of them lit; each in a cell of its own, as long as there are cells."""
    cells = [(x, y) for x in range(WIDTH) for y in range(HEIGHT - 1)]
    return [
        {
            "position": cell,
            "lit": False,
            "oil": rng.randrange(2, 5),
            "maker": rng.choice(["Ōgawa", "Łukasz & Søn", "Ó Briain"]),
        }
        for cell in rng.sample(cells * -(-count // len(cells)), count)
    ]


def keeper() -> Values:
    """The keeper's characteristics."""
    return {"position": (WIDTH // 2, 0), "mood": "calm"}


def node(kind: str, name: str, nature: str, values: Values, **attributes: str) -> Element:
    """An `Object` or an `Agent` in the form pymasep creates from."""
    one = Element(kind, name=name, nature=nature, **attributes)
    state = SubElement(one, "ObjectState")
    for key, value in values.items():
        SubElement(state, "Characteristic", name=key).append(native_type_to_xml(value))
    return one


def create(environment: Environment, parent: BaseObject, one: Element, values: Values) -> Any:
    """The object of `node`, with exactly these values.

    They are set once more after the creation: pymasep reads `False` as True, and floats and None as XML.
    """
    made = environment.create_object(xml_node=one, parent=parent)
    for key, value in values.items():
        made.object_state.characteristics[key].value = value
    return made
