"""masep for Python beside bare sockets and pymasep, on the same bytes in the same run.

``cargo xtask bench python`` runs this in the environment of the package's tests. Each figure is the median of its
rounds with their minimum and maximum; what is compared takes turns in each round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import masep.communication

with contextlib.redirect_stdout(io.StringIO()):
    import pymasep.communication

HERE = Path(__file__).parent
SAMPLES = HERE.parents[2] / "interop" / "vectors" / "sizes"

Rounds = dict[str, list[float]]


class Table:
    """Figures of those who are compared, one of them the measure."""

    def __init__(self, title: str, base: str, figures: Rounds, targets: dict[str, float]) -> None:
        self.title, self.base, self.figures, self.targets = title, base, figures, targets

    def ratios(self, name: str) -> list[float]:
        """The time of this one as a multiple of the base's, round by round: below 1 it is faster."""
        pairs = zip(self.figures[name], self.figures[self.base], strict=True)
        return [own / base for own, base in pairs]

    def rows(self) -> list[dict[str, Any]]:
        """The figures for a program."""
        rows = []
        for name, times in self.figures.items():
            row = {"what": self.title, "who": name, "microseconds": times, "ratios": self.ratios(name)}
            if name in self.targets:
                row["target"] = self.targets[name]
                row["reached"] = statistics.median(row["ratios"]) <= self.targets[name]
            rows.append(row)
        return rows

    def print(self) -> None:
        """The figures for people."""
        print(f"\n{self.title}: µs (less is better), ratio to {self.base}")
        for row in self.rows():
            verdict = ""
            if "target" in row:
                word = "reached" if row["reached"] else "MISSED"
                verdict = f"   {word}: at most {row['target']:.2f}"
            print(f"  {row['who']:22}{spread(row['microseconds']):28}{spread(row['ratios'])}{verdict}")


def spread(values: list[float]) -> str:
    """Median, minimum and maximum."""
    digits = [f"{value:.4f}" if value < 0.1 else f"{value:.3g}" for value in
              (statistics.median(values), min(values), max(values))]
    return "{} [{} .. {}]".format(*digits)


def round_trip(name: str, seconds: float) -> float:
    """The median of one peer, between two processes of its own."""
    program = [sys.executable, str(HERE / "peers.py")]
    # pymasep writes its logs where it runs.
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [*program, "serve", name],
            cwd=directory,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # pymasep's threads complain when a client leaves.
            stderr=subprocess.DEVNULL,
        )
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            drive = [*program, "drive", name, address, str(seconds)]
            client = subprocess.run(drive, cwd=directory, text=True, capture_output=True, timeout=120)
            if client.returncode != 0:
                raise SystemExit(f"{name}: {client.stderr}")
            return float(client.stdout)
        finally:
            server.kill()
            server.communicate()


def round_trips(rounds: int, seconds: float) -> list[Table]:
    """A frame of 64 bytes and its answer, over TCP and, where that is said, over Unix sockets."""
    names = ["sockets", "masep", "masep, Unix", "masep.communication", "masep.aio", "masep.aio, Unix", "pymasep.communication"]
    figures: Rounds = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names):] + names[: number % len(names)]:
            figures[name].append(round_trip(name, seconds))
    title = "round trip of 64 B between two processes"
    targets = {"masep": 1.6, "masep.communication": 1.6}
    tables = [Table(title, "sockets", figures, targets)]
    for name in ("masep", "masep.aio"):
        unix = f"{name}, Unix"
        both = {who: figures[who] for who in (name, unix)}
        tables.append(Table(f"{title}, {name} over TCP and Unix sockets", name, both, {unix: 1.0}))
    return tables


ARRAYS = {28_224: 1.3, 100_800: 1.3, 1_000_000: 1.4}
"""Bytes of arrays (84x84x4, 210x160x3, a camera), and the most that a round trip may take beside bare sockets."""


def array_trips(rounds: int, seconds: float) -> list[Table]:
    """An array of numpy and its answer, over TCP and Unix sockets."""
    tables = []
    for size, target in ARRAYS.items():
        for network in ("TCP", "Unix sockets"):
            title = f"round trip of a uint8[{size}] of numpy between two processes, over {network}"
            figures = array_trip(size, network, rounds, seconds)
            tables.append(Table(title, "sockets", figures, {"masep": target}))
    return tables


def array_trip(size: int, network: str, rounds: int, seconds: float) -> Rounds:
    """The medians of bare sockets and masep, which take turns in one process and with one server each."""
    program = [sys.executable, str(HERE / "arrays.py")]
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as servers:
        addresses = []
        for name in ("sockets", "masep"):
            target = f"unix://{directory}/{name}" if network != "TCP" else "127.0.0.1:0"
            server = servers.enter_context(
                subprocess.Popen([*program, "serve", name, target], text=True, stdout=subprocess.PIPE)
            )
            servers.callback(server.kill)
            assert server.stdout is not None
            addresses.append(server.stdout.readline().strip())
        drive = [*program, "drive", *addresses, str(size), str(rounds), str(seconds)]
        client = subprocess.run(drive, text=True, capture_output=True, timeout=600)
        if client.returncode != 0:
            raise SystemExit(f"arrays: {client.stderr}")
        figures: Rounds = json.loads(client.stdout)
        return figures


def timed(call: Callable[[], object], seconds: float) -> float:
    """The median time of a call, in microseconds."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


class Ready:
    """A part of a game that has its element at hand: pymasep sends elements only by way of such."""

    def __init__(self, element: ElementTree.Element) -> None:
        self.element = element

    def to_xml(self) -> ElementTree.Element:
        """The element."""
        return self.element


def look_at(params: Any) -> None:
    """Reads all that there is in parameters."""
    for value in params.values():
        if isinstance(value, ElementTree.Element):
            for element in value.iter():
                _ = element.tag, element.attrib, element.text, element.tail


def codec(sample: str, rounds: int, seconds: float) -> list[Table]:
    """Reading and writing one message."""
    data = (SAMPLES / f"{sample}.xml").read_bytes()
    read: dict[str, Callable[[], object]] = {}
    look: dict[str, Callable[[], object]] = {}
    write: dict[str, Callable[[], object]] = {}
    for name, module in [("pymasep", pymasep.communication), ("masep", masep.communication)]:
        source = masep.communication.Message("", None, "")
        source.from_bytes(data)
        params = {
            key: Ready(value) if isinstance(value, ElementTree.Element) else value
            for key, value in (source.params or {}).items()
        }
        message = module.Message(source.msg_type, params, source.src_sub_app_id)
        assert message.to_bytes() == data, f"{name} writes {sample} as something else"

        def reads(module: Any = module) -> Any:
            message = module.Message("", None, "")
            message.from_bytes(data)
            return message

        read[name] = reads
        look[name] = lambda reads=reads: look_at(reads().params)
        write[name] = message.to_bytes
    tables = []
    # The targets are those of an observation.
    tenth = {"masep": 0.1} if sample.startswith("observation") else {}
    works = [("from_bytes", read, tenth), ("from_bytes, and a look at all params", look, {}), ("to_bytes", write, tenth)]
    for what, calls, targets in works:
        figures: Rounds = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                figures[name].append(timed(call, seconds))
        tables.append(Table(f"Message.{what}, {sample} ({len(data)} B)", "pymasep", figures, targets))
    return tables


def main() -> None:
    """Measures, prints, and writes the figures to a file if it is told to."""
    parser = argparse.ArgumentParser(prog="cargo xtask bench python", description=__doc__.splitlines()[0])
    rounds_of = parser.add_mutually_exclusive_group()
    rounds_of.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    rounds_of.add_argument("--smoke", action="store_true", help="whether it works: one round, whose figures tell nothing")
    parser.add_argument("--json", metavar="FILE", help="writes all figures to this file")
    options = parser.parse_args()
    rounds, seconds = (1, 0.0) if options.smoke else (3, 0.1) if options.quick else (7, 0.5)
    tables = round_trips(rounds, seconds) + array_trips(rounds, seconds)
    for sample in ("action", "observation-7k"):
        tables += codec(sample, rounds, seconds)
    for table in tables:
        table.print()
    if options.json:
        rows = [row for table in tables for row in table.rows()]
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
