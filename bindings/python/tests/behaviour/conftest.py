"""Both libraries, one after the other, for the same tests."""

from __future__ import annotations

import importlib
import os
import socket
import threading

import pytest

from behaviour.ends import SOON, Ends

MODULES = {"masep": "masep.communication", "pymasep": "pymasep.communication"}

#: Of these pymasep makes many (sockets that nobody closes, threads that die), and they are not asked here.
NOISE = (
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


def quietly(told, print_it=threading.excepthook):
    """Says nothing of pymasep's threads that die. Two tracebacks that are printed at the same time, one by
    pytest, end CPython 3.11 with a `SystemError`: its parser keeps count in one place for all threads."""
    trace = told.exc_traceback
    while trace is not None:
        if f"{os.sep}pymasep{os.sep}" in trace.tb_frame.f_code.co_filename:
            return
        trace = trace.tb_next
    print_it(told)


threading.excepthook = quietly


@pytest.fixture(params=MODULES)
def communication(request):
    """The module under test."""
    return importlib.import_module(MODULES[request.param])


@pytest.fixture
def ends(communication):
    """Makes servers and clients; they end with the test."""
    with Ends(communication) as ends:
        yield ends


@pytest.fixture
def sockets():
    """Two ends of a connection."""
    near, far = socket.socketpair()
    far.settimeout(SOON)
    with near, far:
        yield near, far


def of_pymasep(item):
    return "communication" in item.fixturenames and item.callspec.params["communication"] == "pymasep"


def pytest_collection_modifyitems(items):
    # At the end: what pymasep leaves is not to be found in the middle of another test.
    items.sort(key=of_pymasep)
    for item in filter(of_pymasep, items):
        for noise in NOISE:
            item.add_marker(pytest.mark.filterwarnings(noise))
        for mark in item.iter_markers("pymasep_fails"):
            strict = not mark.kwargs.get("now_and_then", False)
            item.add_marker(pytest.mark.xfail(strict=strict, reason=mark.args[0]))
