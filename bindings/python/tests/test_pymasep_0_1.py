"""The older pymasep, patched: its own tests pass on masep as they pass without it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import search_port

#: Where `cargo xtask python` installs it: beside the other one, which has the same name.
OLDER = Path(sys.prefix) / "pymasep-0.1"

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(OLDER)}

#: Of the tests that it brings along, those of what masep replaces and of what uses that.
TESTS = ["test_communication", "test_engine", "test_interface"]


#: Seconds for one of its tests, some of which wait for ever now and then, and for all of them.
ONE, ALL = 5, 50
TRIES = 4

#: The ports of its tests. They are among those that the system gives to any connection of any program.
PORTS = [50000, 50001, 50002, 50003, 50004, 55001]


def run(*arguments):
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=ALL)
    except subprocess.TimeoutExpired as hanging:
        # A thread of pymasep's that does not end keeps the process, when all has been printed.
        printed = [(part or b"").decode() for part in (hanging.stdout, hanging.stderr)]
        return subprocess.CompletedProcess(command, None, *printed)


#: Those that ask for what masep does not do. A server that listens on localhost alone is announced as
#: that; they expect the address of the network, at which nobody could connect to it.
OTHERWISE = {"test_server.py::test_listen_announcement", "test_communication.py::test_announcement"}

NAMES = """
import pymasep.communication, pymasep.engine.engine, pymasep.interface.interface
import masep.communication
assert "pymasep-0.1" in pymasep.__file__
assert pymasep.communication.Server is masep.communication.Server
assert pymasep.engine.engine.Server is masep.communication.Server
assert pymasep.interface.interface.Client is masep.communication.Client
assert pymasep.interface.interface.Message is masep.communication.Message
"""


@pytest.mark.parametrize("before", ["", "import pymasep.engine.engine, pymasep.interface.interface;"])
def test_it_is_patched_before_or_after_its_import(before):
    ended = run("-c", before + "import masep.monkey; masep.monkey.patch_pymasep()\n" + NAMES)
    assert ended.returncode == 0, ended.stderr


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("localhost", port))
        except OSError:
            return False
    return True


def wait_for_ports():
    until = time.monotonic() + ALL
    while not all(map(is_free, PORTS)) and time.monotonic() < until:
        time.sleep(0.05)


def outcomes(*through):
    """The results of its tests: those that pass, and those that do not (some want files that it has not)."""
    tests = [str(OLDER / "test" / "unit" / name) for name in TESTS]
    # Some of its threads die of the end of its tests: that is no failure of theirs.
    options = ["-p", "no:cacheprovider", "-rA", "-W", "ignore", f"--timeout={ONE}", "--rootdir", str(OLDER)]
    with search_port.turn():
        wait_for_ports()
        printed = run(*through, "-m", "pytest", *options, *tests).stdout
    found = {"PASSED": set(), "FAILED": set(), "ERROR": set()}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", printed, re.MULTILINE):
        found[outcome].add(os.path.basename(name))
    return found, printed


@pytest.mark.timeout(3 * (1 + TRIES) * ALL)
def test_its_own_tests_pass_as_they_do_without_masep():
    without, printed = outcomes()
    assert len(without["PASSED"]) > 20, printed
    missing = without["PASSED"] - OTHERWISE
    # `test_ping` starts a server and a client at the same time: whoever is second decides whether it waits for ever.
    for _ in range(TRIES):
        patched, printed = outcomes("-m", "masep.monkey")
        missing -= patched["PASSED"]
        if not missing:
            return
    raise AssertionError(f"{missing} do not pass\n{printed}")
