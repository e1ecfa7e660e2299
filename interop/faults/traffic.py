"""The frames of an engine and its interfaces to each other, made from a seed, and the check that all arrive."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from peers import PATIENCE, Event, Peer

LARGEST = 65_535


def bodies(seed: str, count: int, largest: int = LARGEST) -> Iterator[bytes]:
    """Frames as a game has them: many small ones (actions), some larger (observations), a few of the largest."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 200 == 100:
            size = largest
        else:
            size = rng.choice([rng.randrange(1, 64)] + 8 * [rng.randrange(64, 512)] + [rng.randrange(512, 8000)])
        # The number first, so that a failure says which it was.
        yield (number.to_bytes(4, "big") + rng.randbytes(max(min(size, largest) - 4, 0)))[: max(size, 1)]


@dataclass(frozen=True)
class End:
    """One end of a connection, as its program's lines have it."""

    program: Peer
    #: To whom it sends, and from whom it hears, where it has several connections.
    peer: str | None = None
    #: The name of a frame's bytes in its lines.
    key: str = "bytes_hex"

    def send(self, body: bytes) -> None:
        """Hands a frame to the program."""
        to = {} if self.peer is None else {"to": self.peer}
        self.program.send({**to, self.key: body.hex()})

    def receive(self) -> tuple[int, str]:
        """Size and hash of the next frame; fails if anything else comes of the connection."""
        event = self.program.expect(self._concerns)
        assert event["event"] == "frame", event
        if "sha256" in event:
            return event["size"], event["sha256"]
        return summary(bytes.fromhex(event["bytes_hex"]))

    def _concerns(self, event: Event) -> bool:
        ends = event["event"] in ("frame", "closed", "error", "handler_ended", "message")
        return ends and ("peer" not in event or self.peer is None or event["peer"] == self.peer)


def summary(body: bytes) -> tuple[int, str]:
    """The parts of a frame that are compared."""
    return len(body), hashlib.sha256(body).hexdigest()


@dataclass(frozen=True)
class Way:
    """The bounds of the frames that go one way."""

    largest: int = LARGEST
    #: The number of frames that may be under way.
    ahead: int = 1_000_000


def exchange(seed: str, count: int, one: End, other: End, there: Way = Way(), back: Way = Way()) -> int:
    """Sends `count` frames from each end at once; each must arrive whole, in order, once. Gives their number."""
    with ThreadPoolExecutor(4) as pool:
        jobs = []
        for source, target, way, name in [(one, other, there, "there"), (other, one, back, "back")]:
            room = threading.Semaphore(way.ahead)
            rest = (f"{seed}/{name}", count, way.largest, room)
            jobs += [pool.submit(_receive_all, target, *rest), pool.submit(_send_all, source, *rest)]
        for job in jobs:
            job.result()
    return 2 * count


def introduce(pymasep: End, masep: End) -> None:
    """A few frames one by one, as an interface begins.

    By any of them masep knows a pymasep peer: its header comes before its body, if nobody sleeps for 40 ms.
    """
    for number in range(5):
        body = f"introduction {number}".encode()
        pymasep.send(body)
        assert masep.receive() == summary(body)


def _send_all(source: End, seed: str, count: int, largest: int, room: threading.Semaphore) -> None:
    for body in bodies(seed, count, largest):
        assert room.acquire(timeout=PATIENCE), f"{seed!r}: nothing arrives any more"
        source.send(body)


def _receive_all(target: End, seed: str, count: int, largest: int, room: threading.Semaphore) -> None:
    for number, body in enumerate(bodies(seed, count, largest)):
        got = target.receive()
        assert got == summary(body), f"frame {number} of {seed!r}: {got} arrived for {summary(body)}"
        room.release()
