"""masep's example engine with unmodified pymasep interfaces: default configuration, ids of their own, skipping on."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
from contextlib import ExitStack

import peers
from masep import Masep
from peers import Peer


def _views(player: Peer) -> list[tuple[int, bool]]:
    """The steps of all observations of an interface, and whether they were final; fails if it did not end in order."""
    events = list(player.events())
    assert events[-1]["event"] == "ended", events[-1]
    assert all(event["event"] in {"connected", "frame", "observation", "ended"} for event in events)
    assert player.wait() == 0
    return [(event["step"], event["is_final"]) for event in events if event["event"] == "observation"]


def test_real_interfaces_play_the_example_engine(masep: Masep) -> None:
    binary = masep.binary.parent / "examples" / "engine"
    with ExitStack() as stack:
        command = [str(binary), "127.0.0.1:0", "2"]
        engine = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(engine.kill)
        first = engine.stdout.readline()
        port = re.fullmatch(r"127\.0\.0\.1:(\d+) awaits its actors\n", first)[1]
        players = []
        for role in ["observer", "actor", "actor"]:
            arguments = ["--id", "", "--role", role, "--port", port, "--as-is"]
            player = peers.python("programs.hunter", *arguments, cwd=masep.directory)
            players.append(stack.enter_context(player))
        lines = iter(engine.stdout.readline, "")
        steps = int(re.search(r"episode 1 took (\d+) steps", next(line for line in lines if "took" in line))[1])
        # Into the second episode: the actors have answered the final of the first.
        for actor in players[1:]:
            final = actor.expect(lambda event: event.get("is_final") is True)
            assert final["step"] == steps + 1
            actor.expect(lambda event: event.get("step", 0) > steps + 10)
        engine.send_signal(signal.SIGINT)
        report = "".join(lines)
        observer, *actors = [_views(player) for player in players]
        assert engine.wait() == 0
    assert "1 episodes" in report
    assert len(re.findall(r" caught \d+ and has a reward of ", report)) == 2
    for views in actors:
        seen = [step for step, _ in views]
        assert seen == sorted(set(seen)), "the table's numbers rise"
    # It skips what it is too slow for, which is the final with the next episode right behind it.
    seen = [step for step, _ in observer]
    assert any(after < before for before, after in itertools.pairwise(seen)), "no second episode"
