"""The time that a step of a remote environment takes, with masep and with others, beside bare sockets of Python.

``cargo xtask bench environments`` runs this. Each way is a process of its own with a server of its own
(``environment_peers.py``); all take turns in each round, and are started anew now and then, because where the system has
put two processes stays so. A figure is the median of the rounds with their least and greatest; ratios are to bare
sockets in the same round. Then 8 environments of ``RemoteVectorEnv`` beside those of Gymnasium. With ``--one-core``, all
processes share one processor, which compares the work that is done.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from environment_peers import PEERS
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from still import SHAPES, Make, Still

from masep.gymnasium import EnvironmentServer, RemoteVectorEnv

HERE = Path(__file__).parent
BASE, OWN = "sockets", ("sockets", "pipe", "masep", "sockets, TLS", "masep, TLS")
"""The peer by which the others are measured; and those that run in the environment of the package."""
ROUND_SECONDS = 0.02
"""The time for which each steps in a round, unless one step takes longer."""
TARGETS = {"16 B": 1.5, "28 kB": 1.4, "101 kB": 1.4}
TOGETHER = 8
"""Environments of a vector."""


class Missing(Exception):
    """A peer cannot be measured here."""


class Peer:
    """A process of ``environment_peers.py``."""

    def __init__(self, python, name, size):
        self.name = name
        self.process = subprocess.Popen(
            [python, str(HERE / "environment_peers.py"), name, size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            _, said = self.process.communicate()
            raise Missing((said.strip().splitlines() or ["it said nothing"])[-1])
        self.count = 5
        # The second time tells.
        for _ in range(2):
            self.count = max(2, int(ROUND_SECONDS / self.seconds()))
        return self

    def seconds(self):
        """The time of a step."""
        self.process.stdin.write(f"{self.count}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def measured(size, pythons, rounds, starts):
    """The times of each in microseconds, round by round; and those that are missing, with the reason."""
    times = {name: [] for name in pythons}
    missing = {}
    for _ in range(starts):
        with ExitStack() as stack:
            peers = []
            for name in times:
                try:
                    peers.append(stack.enter_context(Peer(pythons[name], name, size)))
                except Missing as reason:
                    missing[name] = str(reason)
            for name in missing:
                times.pop(name, None)
            for _ in range(max(1, rounds // starts)):
                for peer in peers:
                    times[peer.name].append(peer.seconds() * 1e6)
    return times, missing


def spread(values):
    """Median, least and greatest."""
    return "{:.3g} ({:.3g} to {:.3g})".format(statistics.median(values), min(values), max(values))


def rows(times, base):
    """The figures of each."""
    return [
        {
            "who": name,
            "microseconds": own,
            "ratios": [one / other for one, other in zip(own, times[base], strict=True)],
        }
        for name, own in times.items()
    ]


def show(title, found, base, target=None):
    print(f"\n{title}: µs, ratio to {base}")
    for row in found:
        verdict = ""
        if row["who"] in ("masep", "RemoteVectorEnv") and target is not None:
            word = "reached" if statistics.median(row["ratios"]) <= target else "MISSED"
            verdict = f"   {word}: at most {target}"
        print(f"  {row['who']:16} {spread(row['microseconds']):28} {spread(row['ratios'])}{verdict}", flush=True)


def timed(step, count):
    begun = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - begun) / count


class Slow(Still):
    """One whose steps take this long."""

    def __init__(self, size, milliseconds):
        super().__init__(*SHAPES[size])
        self.seconds = milliseconds / 1000

    def step(self, action):
        if self.seconds:
            time.sleep(self.seconds)
        return super().step(action)


class MakeSlow(Make):
    def __init__(self, size, milliseconds):
        super().__init__(size)
        self.arguments = size, milliseconds

    def __call__(self):
        return Slow(*self.arguments)


def measured_vectors(milliseconds, rounds, starts):
    """The same of steps of 8 environments."""
    make = MakeSlow("28 kB", milliseconds)
    times = {"AsyncVectorEnv": [], "SyncVectorEnv": [], "RemoteVectorEnv": []}
    for _ in range(starts):
        with EnvironmentServer(make, "127.0.0.1:0", envs=TOGETHER) as server:
            vectors = {
                "AsyncVectorEnv": AsyncVectorEnv([make] * TOGETHER, shared_memory=True, copy=True, context="spawn"),
                "SyncVectorEnv": SyncVectorEnv([make] * TOGETHER, copy=True),
                "RemoteVectorEnv": RemoteVectorEnv(server.target, TOGETHER),
            }
            actions = vectors["SyncVectorEnv"].action_space.sample()
            steps = {name: lambda envs=envs: envs.step(actions) for name, envs in vectors.items()}
            counts = {}
            for name, envs in vectors.items():
                envs.reset(seed=1)
                counts[name] = max(2, int(2 * ROUND_SECONDS / timed(steps[name], 5)))
            for _ in range(max(1, rounds // starts)):
                for name, step in steps.items():
                    times[name].append(timed(step, counts[name]) * 1e6)
            for envs in vectors.values():
                envs.close()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="rounds for each table (40)")
    parser.add_argument("--starts", type=int, default=4, help="starts of all processes in these rounds (4)")
    parser.add_argument("--quick", action="store_true", help="8 rounds in one start")
    parser.add_argument("--smoke", action="store_true", help="one round: only to see that it runs")
    parser.add_argument("--size", choices=SHAPES, action="append", help="one size alone")
    parser.add_argument("--only", choices=["step", "vector"], help="steps of one environment, or of 8, alone")
    parser.add_argument("--peers", metavar="PYTHON", help="the Python that has the other libraries")
    parser.add_argument("--without", action="append", default=[], choices=[n for n in PEERS if n != BASE])
    parser.add_argument("--one-core", action="store_true", help="all processes share one processor")
    parser.add_argument("--json", metavar="FILE", help="writes all figures")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.starts = 8, 1
    if given.smoke:
        given.rounds, given.starts = 1, 1
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"load {os.getloadavg()[0]:.2f} at the start, {os.cpu_count()} processors", flush=True)
    tables = []
    if given.only != "vector":
        pythons = {name: sys.executable for name in OWN}
        pythons |= {name: given.peers for name in PEERS if name not in OWN and given.peers}
        pythons = {name: python for name, python in pythons.items() if name not in given.without}
        for size in given.size or SHAPES:
            times, missing = measured(size, pythons, given.rounds, given.starts)
            tables.append({"what": f"a step, observations of {size}", "rows": rows(times, BASE)})
            show(tables[-1]["what"], tables[-1]["rows"], BASE, TARGETS[size])
            missing |= {name: "no --peers" for name in PEERS if name not in OWN and not given.peers}
            for name, reason in missing.items():
                print(f"  {name:16} MISSING: {reason}", flush=True)
    if given.only != "step":
        for milliseconds in (0, 1):
            times = measured_vectors(milliseconds, given.rounds, given.starts)
            what = f"a step of {TOGETHER} environments, 28 kB each, of {milliseconds} ms"
            tables.append({"what": what, "rows": rows(times, "AsyncVectorEnv")})
            show(what, tables[-1]["rows"], "AsyncVectorEnv", 1.0)
    if given.json:
        Path(given.json).write_text(json.dumps(tables, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
