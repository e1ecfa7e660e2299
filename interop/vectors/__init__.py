"""Messages through the real pymasep, kept as files that any implementation can be tested with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def load(name: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    with (HERE / name).open(encoding="ascii") as lines:
        return [json.loads(line) for line in lines]
