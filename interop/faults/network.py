"""The hosts of a test's LAN, and what a test does to their cables."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults import packets
from faults.link import DEVICE
from peers import HERE, Peer, started

_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """This machine does not let us make hosts."""


class Host:
    """One host: a network namespace."""

    def __init__(self, number: int, namespace: str, link: Peer) -> None:
        self.number = number
        self.address = packets.address(number)
        self._namespace = namespace
        self._link = link

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is on the host within the block: what it opens and starts there stays there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(self._namespace, os.O_RDONLY)
            try:
                _enter(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def ip(self, arguments: str) -> None:
        """Runs `ip` with these arguments; `lan0` is the host's device."""
        with self.entered():
            done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {arguments}: {done.stderr}"

    def pull_cable(self, keep: str | None = None, after: int | None = None) -> None:
        """From now on (or when `after` more of its packets were carried) nothing is carried.

        With `keep` one direction still is: "in" to the host, or "out" of it.
        """
        line: dict[str, Any] = {"pull": self.number, "keep": keep}
        if after is not None:
            line["after"] = after
        self._tell(line)

    def put_cable_back(self) -> None:
        """All is carried again; what was not, is lost."""
        self._tell({"put_back": self.number})

    def has_faults(self, **faults: Any) -> None:
        """The packets that it sends suffer these from now on, see `link.Faults`."""
        self._tell({"faults": faults, "host": self.number})

    def _tell(self, line: dict[str, Any]) -> None:
        self._link.send(line)
        self._link.expect("done")


class Lan:
    """Some hosts and the link between them, as long as its block lasts."""

    def __init__(self, link: Peer, namespaces: list[str]) -> None:
        self._link = link
        self.hosts = [Host(number, namespace, link) for number, namespace in enumerate(namespaces, 1)]

    def counts(self) -> dict[str, int]:
        """The numbers of the packets so far by their fate, all hosts together. See `link.Counts`."""
        self._link.send({"stats": True})
        hosts = self._link.expect("stats")["hosts"].values()
        return {key: sum(host[key] for host in hosts) for key in next(iter(hosts))}


@contextmanager
def lan(seed: str, hosts: int = 2, mtu: int = 1500, **faults: Any) -> Iterator[Lan]:
    """A LAN on which all packets suffer these faults; raises `Impossible` where there can be none."""
    if sys.platform != "linux":
        raise Impossible("network namespaces are Linux's")
    command = [sys.executable, "-m", "faults.link", "--hosts", str(hosts), "--seed", seed, "--mtu", str(mtu)]
    with started([*command, "--faults", json.dumps(faults)], Path.cwd(), {"PYTHONPATH": str(HERE)}) as link:
        begun = link.next()
        if begun["event"] == "impossible":
            raise Impossible(begun["why"])
        yield Lan(link, begun["namespaces"])


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot enter a network namespace: {os.strerror(error)}")


__all__ = ["DEVICE", "Host", "Impossible", "Lan", "lan"]
