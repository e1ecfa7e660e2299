"""The parts that the programs ``python -m masep.gymnasium`` and ``python -m masep.pettingzoo`` share."""

from __future__ import annotations

import json
from typing import Any


def argument(text: str) -> tuple[str, Any]:
    """An argument of an environment, ``NAME=JSON``. Anything but JSON is a text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def end_by_signal(number: int, frame: object) -> None:
    """A handler by which a signal ends the program as Ctrl-C does."""
    raise KeyboardInterrupt
