"""Descriptors of this process: their number, and a lack of them."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import time

#: A farewell may still wait for the other side's, and the thread that sees to farewells stays for a second.
SETTLED_SECONDS = 10.0


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def assert_given_back(before):
    """There are no more descriptors than that, once the last farewells are over. Nothing tells of that."""
    until = time.monotonic() + SETTLED_SECONDS
    while descriptors() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert descriptors() <= before


def settle():
    """Waits until the thread that sees to farewells has ended: nothing that other tests have left gives a descriptor back."""
    until = time.monotonic() + SETTLED_SECONDS
    while "masep-keeper" in map(name_of, os.listdir("/proc/self/task")):
        assert time.monotonic() < until, "a server or a connection of another test is still there"
        gc.collect()
        time.sleep(0.01)


def name_of(task):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{task}/comm") as name:
        return name.read().strip()
    return None


class Exhausted:
    """All descriptors of this process are taken but for some, until this is closed."""

    def __init__(self, left=0):
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.files = []
        self.left = left
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, self.limits[1]))
        self.take()

    def take(self):
        """Takes also those that have been given back meanwhile."""
        with contextlib.suppress(OSError):
            while True:
                self.files.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(self.left):
            os.close(self.files.pop())

    def close(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)
        while self.files:
            os.close(self.files.pop())
