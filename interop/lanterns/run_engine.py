"""The real pymasep engine with the lantern game, headless: `python -m lanterns.run_engine`.

Writes `{"event":"ready","port","id"}` when interfaces can connect, `{"event":"ended","result"}` after
END_GAME, and then exits as pymasep does: when every interface has said BYE.
"""

from __future__ import annotations

import argparse
import os
from unittest import mock

from omegaconf import OmegaConf
from pymasep.app import App

from programs.report import emit, emit_crashes


def main() -> None:
    """Runs one game in the current directory, where the configuration and pymasep's logs are written."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--players", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=30)
    args = parser.parse_args()
    emit_crashes()

    os.makedirs("config", exist_ok=True)
    OmegaConf.save(
        OmegaConf.create(
            {
                "engine": {"server": {"port": args.port}},
                "game": {
                    "seed": args.seed,
                    "max_nb_players": args.players,
                    "max_steps": args.max_steps,
                },
            }
        ),
        "config/app.yaml",
    )

    # pymasep names an engine with a random UUID; a given one makes two runs equal to the byte.
    with mock.patch("uuid.uuid4", return_value=args.id):
        app = App(interface_class_=None, launch=App.LAUNCH_SERVER_STANDALONE)
    server = app.engine.remote_communication
    # pymasep binds the port 0 as it is told to, but goes on believing that its port is 0.
    server.port = server.socket.getsockname()[1]
    emit("ready", port=server.port, id=app.engine.id)
    app.run()
    game = app.engine.environment.game
    emit("ended", result=game.result if game else None)


if __name__ == "__main__":
    main()
