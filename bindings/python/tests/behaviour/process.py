"""Tests that one of the libraries may leave with a thread that never ends: each in a process of its own.

Run as a program: ``python -m behaviour.process MODULE TEST LIBRARY``.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import traceback

from behaviour.ends import Ends

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: Seconds after which the process is killed, and the test has failed.
LIMIT = 25


def in_its_own_process(test):
    """A test that takes ``ends`` as one that pytest runs in a process of its own, which ends as soon as
    the test has, whatever threads there are then."""

    def in_a_child(communication):
        command = [sys.executable, "-m", __name__, test.__module__, test.__name__, communication.__name__]
        # Also what the tests have written into the current directory is the child's.
        environment = {**os.environ, "PYTHONPATH": TESTS}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
        assert ended.returncode == 0, ended.stderr

    in_a_child.__name__, in_a_child.__doc__, in_a_child.test = test.__name__, test.__doc__, test
    return in_a_child


def main(module, test, library):
    """Runs one test."""
    test = getattr(importlib.import_module(module), test).test
    try:
        test(Ends(importlib.import_module(library)))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
