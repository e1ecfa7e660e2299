"""The fixtures of these tests: a LAN with faults, a seed, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from faults import table
from faults.network import Impossible, Lan, lan

#: Frames in each direction, and seeds, in the quick form and in the long one.
QUICK, LONG = (1_000, 1), (10_000, 5)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--long", action="store_true", help="more frames, and several seeds")
    group.addoption("--seed", type=int, default=7, help="the first seed (default: %(default)s)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed_number" in metafunc.fixturenames:
        first, count = metafunc.config.option.seed, (LONG if metafunc.config.option.long else QUICK)[1]
        seeds = range(first, first + count)
        metafunc.parametrize("seed_number", seeds, ids=[f"seed {seed}" for seed in seeds], scope="session")


@pytest.fixture
def seed(seed_number: int, request: pytest.FixtureRequest) -> str:
    """The seed of everything random in the test."""
    return f"{seed_number}/{request.node.originalname}"


@pytest.fixture
def frames(pytestconfig: pytest.Config) -> int:
    """The number of frames that a test sends in each direction."""
    return (LONG if pytestconfig.option.long else QUICK)[0]


@pytest.fixture
def network(seed: str) -> Iterator[Callable[..., Lan]]:
    """Makes a LAN, see `network.lan`; the test is skipped where that is impossible."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Lan:
            try:
                return stack.enter_context(lan(seed, **settings))
            except Impossible as error:
                pytest.skip(f"no hosts on this machine: {error}")

        yield make


@pytest.fixture
def note(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """Puts a row into the table at the end, see `table.row`."""
    return lambda *args, **kwargs: record_property(table.ROW, table.row(*args, **kwargs))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [value for report in reports for key, value in report.user_properties if key == table.ROW]
    if rows:
        terminalreporter.section("faults survived")
        for line in table.lines(sorted(rows)):
            terminalreporter.write_line(line)
