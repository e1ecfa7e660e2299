"""A LAN in user space, as bad as a test wants it: `python -m faults.link --hosts 2 --seed 7`.

Each host is a network namespace with a TUN device, `lan0`, whose packets come here and are carried to the
others, or not. The fate of the n-th packet of a host follows from the seed alone. All of it has no name
outside of this process, and is gone with it: namespaces, devices and routes.

In: `{"faults": {…}}` (see `Faults`; with `"host": n` for the packets of that host alone), `{"pull": n}` its cable
(with `"after": k` when k more of its packets were carried; with `"keep": "in"` or `"out"` only the other direction),
`{"put_back": n}`, `{"stats": true}`.
Out: `ready` with the namespaces as paths, `done` when a line is in force, `stats`. It ends with its stdin.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from faults import packets

DEVICE = "lan0"
#: Where a packet is lost that nobody delays: the kernel's queue to this process, in packets.
DEVICE_QUEUE = 10_000
#: Packets that are taken from one device before the others have their turn.
BATCH = 64

_CLONE_NEWNET = 0x4000_0000
_TUNSETIFF = 0x4004_54CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


@dataclass(frozen=True)
class Faults:
    """The faults of the link for each packet. Without any of these it carries all at once."""

    #: The share of packets that vanish, and of those that come twice.
    loss: float = 0.0
    duplicate: float = 0.0
    #: Seconds under way, and up to how many more; packets overtake each other within these.
    delay: float = 0.0
    jitter: float = 0.0
    #: Bits a second, and how many bytes may wait for their turn; the rest is lost.
    rate: float | None = None
    queue: int = 100_000
    #: The largest packet that gets through; larger ones are reported to the sender, or not.
    path_mtu: int | None = None
    black_hole: bool = False
    #: A router reports each packet for a host whose cable is pulled.
    unreachable: bool = False


@dataclass
class Counts:
    """The numbers of the packets of one host by their fate, each receiver's copy counted."""

    carried: int = 0
    bytes: int = 0
    lost: int = 0
    overflowed: int = 0
    too_large: int = 0
    cut: int = 0
    duplicated: int = 0
    #: Came after a packet that was sent later.
    overtaken: int = 0


@dataclass
class Port:
    """One host's place at the link."""

    number: int
    namespace: int
    device: int
    faults: Faults
    rng: random.Random
    #: Which directions of its cable are whole.
    hears: bool = True
    speaks: bool = True
    #: Packets that it may still send before its cable is pulled.
    fuse: int | None = None
    fuse_keeps: str | None = None
    #: When its last packet has left, for the rate.
    free_at: float = 0.0
    sent: int = 0
    last_delivered: dict[int, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def pull(self, keep: str | None) -> None:
        """Nothing is carried from now on, or only in one direction."""
        self.hears, self.speaks = keep == "in", keep == "out"


class Link:
    """Carries packets between its ports."""

    def __init__(self, ports: list[Port]) -> None:
        self._ports = ports
        #: Packets under way: when they arrive, their order, their number, from whom, to whom.
        self._under_way: list[tuple[float, int, int, Port, Port, bytes]] = []
        self._order = itertools.count()
        #: Behind which port an address is, learnt as a switch learns it.
        self._homes: dict[bytes, Port] = {}

    def run(self, obey: Callable[[], bool]) -> None:
        """Carries until `obey`, called when stdin has something, says that it was the end."""
        poll = select.epoll()
        poll.register(sys.stdin.fileno(), select.EPOLLIN)
        by_device = {port.device: port for port in self._ports}
        for device in by_device:
            poll.register(device, select.EPOLLIN)
        while True:
            for descriptor, _ in poll.poll(self._until_next()):
                if descriptor in by_device:
                    self._take_from(by_device[descriptor])
                elif not obey():
                    return
            self._deliver()

    def _until_next(self) -> float | None:
        if not self._under_way:
            return None
        return max(self._under_way[0][0] - time.monotonic(), 0)

    def _take_from(self, port: Port) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(port.device, 1 << 16)
            except OSError:
                # Nothing more, or the device is down.
                return
            if packets.is_ipv4(packet):
                self._homes[packets.source(packet)] = port
                self._carry(port, packet)

    def _carry(self, sender: Port, packet: bytes) -> None:
        target = packets.destination(packet)
        home = None if packets.is_for_all(target) else self._homes.get(target)
        receivers = [port for port in self._ports if port is not sender] if home is None else [home]
        for receiver in receivers:
            self._decide(sender, receiver, packet)
        if sender.fuse is not None:
            sender.fuse -= 1
            if sender.fuse <= 0:
                sender.fuse = None
                sender.pull(sender.fuse_keeps)

    def _decide(self, sender: Port, receiver: Port, packet: bytes) -> None:
        faults, counts, now = sender.faults, sender.counts, time.monotonic()
        # Always as many draws, so that the fate of a packet depends on nothing but its number.
        lost, doubled, late = (sender.rng.random() for _ in range(3))
        sender.sent += 1
        if not sender.speaks or not receiver.hears:
            counts.cut += 1
            if faults.unreachable and sender.speaks and sender.hears:
                self._write(sender, packets.unreachable(packet))
            return
        if faults.path_mtu is not None and len(packet) > faults.path_mtu:
            counts.too_large += 1
            if not faults.black_hole:
                self._write(sender, packets.too_large(packet, faults.path_mtu))
            return
        if lost < faults.loss:
            counts.lost += 1
            return
        leaves = now
        if faults.rate:
            begins = max(now, sender.free_at)
            if (begins - now) * faults.rate / 8 > faults.queue:
                counts.overflowed += 1
                return
            leaves = sender.free_at = begins + len(packet) * 8 / faults.rate
        arrives = leaves + faults.delay + late * faults.jitter
        copies = 1
        if doubled < faults.duplicate:
            counts.duplicated += 1
            copies = 2
        for _ in range(copies):
            heapq.heappush(self._under_way, (arrives, next(self._order), sender.sent, sender, receiver, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, number, sender, receiver, packet = heapq.heappop(self._under_way)
            if not sender.speaks or not receiver.hears:
                sender.counts.cut += 1
                continue
            if sender.last_delivered.get(receiver.number, 0) > number:
                sender.counts.overtaken += 1
            else:
                sender.last_delivered[receiver.number] = number
            if self._write(receiver, packet):
                sender.counts.carried += 1
                sender.counts.bytes += len(packet)
            else:
                sender.counts.cut += 1

    @staticmethod
    def _write(port: Port, packet: bytes) -> bool:
        try:
            os.write(port.device, packet)
        except OSError:
            # The device is down, or has a smaller MTU than the packet's sender.
            return False
        return True


def make_port(number: int, mtu: int, faults: Faults, seed: str) -> Port:
    """A new namespace, which this process is in then, with a device in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot make a network namespace: {os.strerror(error)}")
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    lines = [
        "link set lo up",
        f"link set {DEVICE} mtu {mtu} txqueuelen {DEVICE_QUEUE} up",
        f"address add {packets.address(number)}/24 dev {DEVICE}",
        f"route add default dev {DEVICE}",
    ]
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip: {done.stderr.strip()}")
    return Port(number, namespace, device, faults, random.Random(f"{seed}/{number}"))


def obey(ports: dict[int, Port], line: dict[str, Any]) -> dict[str, Any]:
    """Does what one line says; the answer."""
    if "faults" in line:
        for port in ports.values():
            if line.get("host", port.number) == port.number:
                port.faults = replace(port.faults, **line["faults"])
    elif "pull" in line:
        port = ports[line["pull"]]
        if "after" in line:
            port.fuse, port.fuse_keeps = line["after"], line.get("keep")
        else:
            port.pull(line.get("keep"))
    elif "put_back" in line:
        port = ports[line["put_back"]]
        port.hears = port.speaks = True
        port.fuse = None
    elif "stats" in line:
        return {"event": "stats", "hosts": {number: asdict(port.counts) for number, port in ports.items()}}
    return {"event": "done"}


def tell(event: dict[str, Any]) -> None:
    """One line on stdout."""
    print(json.dumps(event), flush=True)


def main() -> None:
    """Makes the hosts, then carries their packets until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--faults", type=json.loads, default={})
    args = parser.parse_args()
    faults = Faults(**args.faults)
    try:
        ports = {number: make_port(number, args.mtu, faults, args.seed) for number in range(1, args.hosts + 1)}
    except OSError as error:
        tell({"event": "impossible", "why": str(error)})
        return
    rest = b""

    def read_lines() -> bool:
        nonlocal rest
        read = os.read(sys.stdin.fileno(), 1 << 16)
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            tell(obey(ports, json.loads(line)))
        return bool(read)

    namespaces = [f"/proc/{os.getpid()}/fd/{port.namespace}" for port in ports.values()]
    tell({"event": "ready", "namespaces": namespaces})
    Link(list(ports.values())).run(read_lines)


if __name__ == "__main__":
    main()
