"""The fixtures of all tests: the masep program, and turns at what the machine has only once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# The tests import pymasep, and with it pygame, into this process too.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

from lanterns import session
from masep import Masep
from search_port import turn


def pytest_configure(config: pytest.Config) -> None:
    """Ends the run at once when there is no program to test: a skip would look like a success."""
    binary = os.environ.get("MASEP_BIN")
    if not binary:
        raise pytest.UsageError("MASEP_BIN is not set: it is to be the path of the masep program under test")
    if not os.access(binary, os.X_OK):
        raise pytest.UsageError(f"MASEP_BIN is {binary!r}, where no program is")
    config.stash[_BINARY] = Path(binary).resolve()


_BINARY = pytest.StashKey[Path]()


@pytest.fixture
def masep(pytestconfig: pytest.Config, tmp_path: Path) -> Masep:
    """The program under test, run in the test's own directory."""
    return Masep(pytestconfig.stash[_BINARY], tmp_path)


@pytest.fixture
def search_turn() -> Iterator[None]:
    """Nobody else of this suite uses the LAN search, or runs a real engine, while the test runs."""
    with turn():
        yield


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> session.Recording:
    """The game as it goes among pymasep's own: what games with masep in them are compared with."""
    own = tmp_path_factory.getbasetemp()
    # A worker's is in that of the run.
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return session.record_once(shared)
