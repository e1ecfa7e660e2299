"""The time that pymasep takes for a message: `python -m bench_codec {encode,decode,both} NAME SECONDS`, in nanoseconds.

`cargo xtask bench --only codec` runs it beside masep. NAME is that of a file in `vectors/sizes`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from pymasep.communication import Message

from vectors import HERE, sizes


def nanoseconds(call: Callable[[], object], seconds: float) -> float:
    """The time of a call, on average over this many seconds."""
    calls = 0
    start = now = time.perf_counter_ns()
    while now - start < seconds * 1e9 or calls < 5:
        call()
        calls += 1
        now = time.perf_counter_ns()
    return (now - start) / calls


def main() -> None:
    """Measures and prints."""
    direction, wanted, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    body = (HERE / "sizes" / f"{wanted}.xml").read_bytes()
    message = next(message for name, message in sizes.messages() if name == wanted)
    assert message.to_bytes() == body, "it does not write the same"

    def decode() -> None:
        Message("", None, "").from_bytes(body)

    def both() -> None:
        decode()
        message.to_bytes()

    calls = {"decode": decode, "encode": message.to_bytes, "both": both}
    print(nanoseconds(calls[direction], seconds), flush=True)


if __name__ == "__main__":
    main()
