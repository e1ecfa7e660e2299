"""The bench works; what its figures are, only a quiet machine with the optimised package can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"


def test_everybody_is_measured(directory):
    """A round of the bench comes to its end, with a figure for each who is compared."""
    command = [sys.executable, str(BENCH / "compare.py"), "--smoke", "--json", "figures.json"]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
    rows = json.loads((directory / "figures.json").read_text(encoding="utf-8"))
    assert all(len(row["microseconds"]) == 1 and row["microseconds"][0] > 0 for row in rows)
    compared: dict[str, list[str]] = {}
    for row in rows:
        compared.setdefault(row["what"], []).append(row["who"])
    round_trips, unix, unix_in_asyncio, *others = compared.values()
    assert round_trips == [
        "sockets",
        "masep",
        "masep, Unix",
        "masep.communication",
        "masep.aio",
        "masep.aio, Unix",
        "pymasep.communication",
    ]
    assert (unix, unix_in_asyncio) == (["masep", "masep, Unix"], ["masep.aio", "masep.aio, Unix"])
    assert others == [["sockets", "masep"]] * 6 + [["pymasep", "masep"]] * 6


def test_environments_are_measured(directory):
    """The same for steps of environments; libraries that are not there are named."""
    rows = []
    for what in (["--only", "step", "--size", "16 B"], ["--only", "vector"]):
        command = [sys.executable, str(BENCH / "environments.py"), "--smoke", *what, "--json", "figures.json"]
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=50)
        assert ended.returncode == 0, ended.stderr
        if "step" in what:
            assert "rlmesh           MISSING: no --peers" in ended.stdout
        tables = json.loads((directory / "figures.json").read_text(encoding="utf-8"))
        rows += [row for table in tables for row in table["rows"]]
    assert all(len(row["microseconds"]) == 1 and row["microseconds"][0] > 0 for row in rows)
    vectors = ["AsyncVectorEnv", "SyncVectorEnv", "RemoteVectorEnv"]
    assert [row["who"] for row in rows] == [
        "sockets",
        "pipe",
        "masep",
        "sockets, TLS",
        "masep, TLS",
        *vectors,
        *vectors,
    ]
