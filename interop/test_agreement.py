"""The agreement on a protocol: masep speaks with real pymasep peers beside masep peers of protocol 2."""

from __future__ import annotations

import real
from masep import Masep
from peers import python

#: So many clients that ask for protocol 2 leave an engine as it was.
PROBES = 100

#: Two pixels.
IMAGE = {"$array": {"dtype": "uint8", "shape": [2], "base64": "AAE="}}


def test_a_client_of_both_protocols_speaks_pymaseps_at_a_real_server(masep: Masep) -> None:
    with python("programs.server", "--id", "real", cwd=masep.directory) as host:
        address = f"127.0.0.1:{host.expect('ready')['port']}"
        # As the very first connection, too.
        for number in range(PROBES):
            with masep.run("join", address, "--id", f"probe-{number}") as player:
                connected = player.expect("connected")
                assert connected["peer"] == "real" and "protocol" not in connected
                player.send({"bytes_hex": b"question".hex()})
                heard = host.expect(lambda event: event["event"] == "frame")
                assert bytes.fromhex(heard["hex"]) == b"question"
                player.send({"bye": True})
                assert player.wait() == 0
            # That of the probe too, which was told nothing of it.
            real.ended_in_order(host)
            real.ended_in_order(host)


def test_a_client_that_insists_on_protocol_2_says_what_the_real_server_speaks(masep: Masep) -> None:
    with python("programs.server", "--id", "real", cwd=masep.directory) as host:
        port = host.expect("ready")["port"]
        with masep.run("join", f"masep://127.0.0.1:{port}", "--id", "new") as player:
            assert player.wait() == 3
        with masep.join(port, "old"):
            host.expect("handler_started")


def test_a_real_client_is_in_one_session_with_masep_clients_of_both_protocols(masep: Masep) -> None:
    with masep.serve() as (host, port):
        with (
            real.client(masep, port) as old,
            masep.run("join", f"masep://127.0.0.1:{port}", "--id", "new") as new,
        ):
            assert new.expect("connected")["protocol"] == 2
            real.of_peer(host, "new")
            host.send({"to": "*", "message": {"msg_type": "observation", "params": {"image": IMAGE}}})
            assert new.expect("message")["message"]["params"] == {"image": IMAGE}
            assert '"good"' in host.expect("error")["message"]
            real.served(host, old)
