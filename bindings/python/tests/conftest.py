"""Fixtures that the tests share. Each runs in a directory of its own: log files are written into the current one."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# pymasep imports pygame.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pytest

#: The modules that the tests of masep's other programs use too: games, and turns at what the machine has once.
#: They are at the end of the path, because there is a `masep` among them which is not the package.
INTEROP = Path(__file__).resolve().parents[3] / "interop"
sys.path.append(str(INTEROP))


# A shell without job control has its background processes ignore Ctrl-C, and so their children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pool():
    """Threads for what goes on beside a test."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def has_shared_fixtures(item):
    """True if fixtures of the test are made once for all tests of its file."""
    found = item._fixtureinfo.name2fixturedefs.values()
    return any(definition.scope == "module" for definitions in found for definition in definitions)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Says which tests run in one process, when there are several (``-n``): those that take turns at the port of the LAN
    search, which would keep other processes waiting; and those that share a fixture. Groups come first, then the other
    tests in their order, so that those of pymasep are the last ones of each process."""
    for item in items:
        params = getattr(item, "callspec", None)
        if params is not None and params.params.get("communication") == "pymasep":
            continue
        if "search_port" in vars(item.module):
            item.add_marker(pytest.mark.xdist_group("search"))
            if item.get_closest_marker("timeout") is None:
                # It may have to wait for its turn, also for that of another suite.
                item.add_marker(pytest.mark.timeout(300))
        elif has_shared_fixtures(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
