"""A real game through `masep tap`: nothing changes, and all of it is seen."""

from __future__ import annotations

import peers
from lanterns import session
from masep import Masep, port_of
from notation import canonical, read


def test_a_real_client_and_server_talk_through_the_tap(masep: Masep) -> None:
    with peers.python("programs.server", "--id", "real-é", "--echo", cwd=masep.directory) as server:
        to = f"127.0.0.1:{server.expect('ready')['port']}"
        with masep.run("tap", "--json", "--to", to) as tap:
            port = port_of(tap.expect("listening")["address"])
            with peers.python("programs.client", "--id", "c", "--port", str(port), cwd=masep.directory) as client:
                assert client.expect("connected")["server_id"] == "real-é"
                for body in (b"abc", b'<Message msg_type="quit" src_sub_app="c" />', bytes(65_535)):
                    client.send({"frame": body.hex()})
                    assert client.expect("frame")["size"] == len(body)
                client.send({"bye": True})
                server.expect("handler_ended")
                client.close_stdin()
                assert client.wait() == 0
            frames = frames_until_bye(tap)
    quit_ = {"msg_type": "quit", "src_sub_app": "c", "params": None}
    assert [line.get("hello") for line in frames[:2]] == ["c", "real-é"]
    for direction in ("c2s", "s2c"):
        abc, message, zeros = [line for line in frames[2:] if line["dir"] == direction and "bye" not in line]
        assert (abc["size"], abc["bytes_hex"]) == (3, "616263")
        assert message["message"] == quit_
        assert zeros["size"] == 65_535


def test_a_real_game_through_the_tap_is_seen_to_its_end(masep: Masep, search_turn: None) -> None:
    with session.engine(masep.directory) as (engine, port):
        with masep.run("tap", "--json", "--to", f"127.0.0.1:{port}") as tap:
            way = port_of(tap.expect("listening")["address"])
            game = session.play(engine, way, masep.directory)
            seen = [line for _ in game.seats for line in frames_until_bye(tap)]
    for number, (ident, seat) in enumerate(game.seats.items()):
        engine_says = [line for line in seen if (line["conn"], line["dir"]) == (number, "s2c")]
        assert engine_says[0]["hello"] == session.ENGINE
        assert [canonical(line["message"]) for line in engine_says[1:]] == [canonical(read(f)) for f in seat.frames]
        hello, define, register, *actions, quit_, bye = [
            line for line in seen if (line["conn"], line["dir"]) == (number, "c2s")
        ]
        assert (hello["hello"], bye["bye"]) == (ident, True)
        assert [line["message"]["msg_type"] for line in (define, register, quit_)] == [
            "define",
            "register",
            "quit",
        ]
        assert [line["message"]["params"]["action"]["$xml"] for line in actions] == seat.actions


def frames_until_bye(tap: peers.Peer) -> list[dict]:
    """The tap's lines of frames, to the first BYE."""
    lines: list[dict] = []
    while not lines or "bye" not in lines[-1]:
        line = tap.next()
        if "event" not in line:
            lines.append(line)
        assert line.get("event") != "skipped"
    return lines
