"""The words of a type checker about programs that use the package."""

from __future__ import annotations

import pytest
from mypy import api

PROGRAM = """
import masep, masep.aio

def plain(request: masep.AccessRequest) -> bool:
    return True

async def awaited(request: masep.AccessRequest) -> bool:
    return True

{package}.Server("engine", "127.0.0.1:0", admit={admit})
{package}.Table("game", ["red"], "127.0.0.1:0", admit={admit})
"""


@pytest.mark.parametrize(
    ("package", "admit", "errors"),
    [("masep", "plain", 0), ("masep", "awaited", 2), ("masep.aio", "plain", 0), ("masep.aio", "awaited", 0)],
)
def test_a_coroutine_function_is_for_asyncio_alone(package: str, admit: str, errors: int) -> None:
    told, _, code = api.run(["--strict", "-c", PROGRAM.format(package=package, admit=admit)])
    assert told.count('error: Argument "admit"') == errors, told
    assert code == bool(errors), told
