"""The masep program, driven as a user drives it: verbs, lines on stdin and stdout."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import PATIENCE, Peer, started

ENGINE = "engine-é"


@dataclass(frozen=True)
class Masep:
    """The program and the directory in which it is run."""

    binary: Path
    directory: Path

    def encode(self, messages: list[Any], *options: str) -> list[Any]:
        """One result for each message: the bytes of `to_bytes()`, or the error's object."""
        lines = self._batch("encode", options, [json.dumps(message) for message in messages])
        return [json.loads(line)["error"] if line.startswith("{") else bytes.fromhex(line) for line in lines]

    def decode(self, bodies: list[bytes], *options: str) -> list[Any]:
        """One result for each body: the message, or `{"error": …}`."""
        return [json.loads(line) for line in self._batch("decode", options, [body.hex() for body in bodies])]

    def _batch(self, verb: str, options: tuple[str, ...], lines: list[str]) -> list[str]:
        done = subprocess.run(
            [self.binary, verb, *options],
            input="".join(line + "\n" for line in lines),
            cwd=self.directory,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        results = done.stdout.split("\n")[:-1]
        assert len(results) == len(lines), f"{len(results)} results for {len(lines)} lines\n{done.stderr}"
        return results

    @contextmanager
    def run(self, *arguments: str) -> Iterator[Peer]:
        """A verb that stays: lines in and out until the block ends."""
        with started([str(self.binary), *arguments], self.directory) as peer:
            yield peer

    @contextmanager
    def serve(self, *options: str, address: str = "127.0.0.1:0", ident: str = ENGINE) -> Iterator[tuple[Peer, int]]:
        """`masep serve`, and the port it listens on."""
        with self.run("serve", address, "--id", ident, *options) as peer:
            listening = peer.expect("listening")
            assert listening["id"] == ident
            yield peer, port_of(listening["address"])

    @contextmanager
    def join(self, port: int, ident: str, *options: str) -> Iterator[Peer]:
        """`masep join` to a port of this machine, in pymasep's protocol, once it is connected."""
        with self.run("join", f"pymasep://127.0.0.1:{port}", "--id", ident, *options) as peer:
            peer.expect("connected")
            yield peer


def port_of(address: str) -> int:
    """The port of `127.0.0.1:60000` or `[::1]:60000`."""
    return int(address.rpartition(":")[2])
