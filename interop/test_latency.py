"""The stall of an unmodified pymasep peer is gone when masep is the other end."""

from __future__ import annotations

from bench_latency import measure
from masep import Masep


def test_masep_does_not_share_a_real_peers_stalls(masep: Masep) -> None:
    """pymasep waits twice 40 ms in each round trip. A stalled peer of it has no quick round at all, and a busy machine
    leaves some."""
    results = measure(masep.binary, None, rounds=12, size=300)
    pymasep, join = results.values()
    assert pymasep["min"] > 20, "this machine's TCP does not stall: nothing to compare with"
    assert join["min"] < pymasep["min"] / 4
