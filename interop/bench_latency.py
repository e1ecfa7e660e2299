"""Round trips to an unmodified pymasep echo server: a pymasep client beside masep clients, in one run.

    MASEP_BIN=target/release/masep python interop/bench_latency.py [--rounds N] [--bytes B] [--example PATH]

`--example` is the built `cargo build --release --example latency`: a client that uses the library alone.
`masep join` is measured through its pipes, JSON and all, as a program in another language uses it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
from masep import Masep

Times = list[float]


def pymasep_client(port: int, rounds: int, size: int, directory: Path) -> Times:
    """Milliseconds of each round trip of a real pymasep client."""
    with peers.python("programs.client", "--id", "pymasep", "--port", str(port), cwd=directory) as client:
        client.expect("connected")
        client.send({"echo_rounds": rounds, "size": size})
        times = client.expect("rounds", timeout=10 + rounds)["ms"]
        client.send({"bye": True})
        client.expect("handler_ended")
        return times


def masep_join(binary: Path, port: int, rounds: int, size: int, directory: Path) -> Times:
    """Milliseconds from a line written to `masep join` to the line of the answer read from it."""
    body = {"bytes_hex": (b"x" * size).hex()}
    times = []
    with Masep(binary, directory).join(port, "masep-join") as player:
        for _ in range(rounds):
            start = time.perf_counter()
            player.send(body)
            player.expect("frame")
            times.append((time.perf_counter() - start) * 1000)
        player.send({"bye": True})
        player.wait()
    return times


def masep_library(example: Path, port: int, rounds: int, size: int) -> dict[str, float]:
    """The times that the example `latency` measures, in milliseconds."""
    done = subprocess.run(
        [example, f"127.0.0.1:{port}", str(rounds), str(size)],
        capture_output=True,
        text=True,
        check=True,
        timeout=10 + rounds,
    )
    measured = json.loads(done.stdout)
    return {name: measured[f"{name}_us"] / 1000 for name in ("median", "min", "max")}


def summary(times: Times) -> dict[str, float]:
    """Median, smallest, largest."""
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def measure(binary: Path, example: Path | None, rounds: int, size: int) -> dict[str, dict[str, float]]:
    """The clients' summaries, by name, pymasep's first; all against one server."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with peers.python("programs.server", "--id", "echo", "--echo", cwd=directory) as server:
            port = server.expect("ready")["port"]
            results = {
                "pymasep client": summary(pymasep_client(port, rounds, size, directory)),
                "masep join (pipes, JSON)": summary(masep_join(binary, port, rounds, size, directory)),
            }
            if example is not None:
                results["masep library"] = masep_library(example, port, rounds, size)
    return results


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="round trips to a real pymasep echo server, in milliseconds")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=300)
    parser.add_argument("--example", type=Path)
    args = parser.parse_args()
    binary = os.environ.get("MASEP_BIN")
    if not binary:
        print(
            "MASEP_BIN is not set: it is to be the path of the masep program to measure",
            file=sys.stderr,
        )
        return 2
    example = args.example.resolve() if args.example else None
    results = measure(Path(binary).resolve(), example, args.rounds, args.bytes)
    slowest = results["pymasep client"]["median"]
    print(f"{args.rounds} round trips of {args.bytes} bytes to an unmodified pymasep echo server, milliseconds")
    print(f"{'client':<26}{'median':>10}{'min':>10}{'max':>10}{'pymasep / it':>14}")
    for name, result in results.items():
        times = "".join(f"{result[key]:>10.3f}" for key in ("median", "min", "max"))
        print(f"{name:<26}{times}{slowest / result['median']:>13.0f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
