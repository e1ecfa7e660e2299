"""A real pymasep interface for the lantern game, headless: `python -m lanterns.run_interface`.

Writes each frame that arrives (`{"event":"frame","hex"}`), each observation as the interface has read it
(`"observation"`), each action it sends (`"action"`, its XML), and `"ended"` after QUIT and BYE.
"""

from __future__ import annotations

import argparse
import os
import queue
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock
from xml.etree import ElementTree

from omegaconf import OmegaConf
from pymasep.app import App
from pymasep.application import ConnectedSubAppInfo, SubAppState
from pymasep.common import Action
from pymasep.communication import Message
from pymasep.interface import Interface, InterfaceController, InterfaceState

from lanterns import policy
from lanterns.game import LanternsGame
from programs.report import emit, emit_crashes


class ReportingQueue(queue.Queue):
    """The queue in which pymasep's socket handler puts what it receives: here the bytes are seen."""

    is_over = threading.Event()

    def put(self, item: bytes, *args: Any, **kwargs: Any) -> None:
        """Reports the frame's body, then queues it."""
        emit("frame", hex=item.hex())
        if b'msg_type="end"' in item:
            self.is_over.set()
        super().put(item, *args, **kwargs)


class PolicyController(InterfaceController):
    """Chooses by `policy.choose` on the observation as it came.

    Not on the state that pymasep makes of it: there, every False has become True.
    """

    def action_choice(self, observation: Any, agent: Any) -> Action | None:
        """The agent's action, or None when it is not its turn. An interface passes no observation."""
        move = policy.choose(self.environment.observation_xml, agent.control)
        if move is None:
            return None
        action = move.action(self.environment)
        emit(
            "action",
            xml=ElementTree.tostring(action.to_xml(), encoding="unicode"),
            step=self.environment.current_step,
        )
        return action


class HeadlessState(InterfaceState):
    """pymasep's interface state (choose, send, receive) without its container of widgets."""

    def init(self) -> None:
        """Becomes active."""
        SubAppState.init(self)

    def handle_event(self, event: Any) -> None:
        """There is no user."""

    def on_receive_observation(self) -> None:
        """Reports what the interface has understood."""
        environment = self.sub_application.environment
        emit(
            "observation",
            step=environment.current_step,
            is_final=environment.current_state.is_final,
            objects=list(environment.current_state.objects),
        )


class HeadlessInterface(Interface):
    """pymasep's interface with its loop and messages as they are, and nothing drawn."""

    role: str

    def __init__(self, app: App, received_q_id: int, **kwargs: Any) -> None:
        app.queues[received_q_id] = ReportingQueue()
        super().__init__(app, received_q_id, game_class_=LanternsGame, interface_role=self.role, **kwargs)
        self.controller_interface_class_ = PolicyController
        self.console = SimpleNamespace(add_output_line_to_log=lambda line: emit("log", line=line))

    def init_graphics(self) -> None:
        """Only the state that the loop needs."""
        self.push_state(HeadlessState(self))

    def receive_observation(self) -> None:
        """Keeps the XML for the controller, which pymasep gives no message."""
        super().receive_observation()
        message = self.current_event
        if message is not None and message.msg_type == Message.MESSAGE_TYPE_OBSERVATION:
            self.environment.observation_xml = message.params["observation"]

    def handle_event(self) -> None:
        """There is no window to take events from."""

    def render(self, time_delta: float) -> None:
        """Nothing is drawn."""


class ActorInterface(HeadlessInterface):
    """Plays a player."""

    role = ConnectedSubAppInfo.ROLE_ACTOR


class ObserverInterface(HeadlessInterface):
    """Only looks on."""

    role = ConnectedSubAppInfo.ROLE_OBSERVER


def main() -> None:
    """Joins the engine at `--port` of `--host`, or the one that the LAN search finds, and stays to the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--role", choices=["actor", "observer"], required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--as-is", action="store_true", help="pymasep's default configuration, and an id of its own")
    args = parser.parse_args()
    # An interface says BYE when the game is over; the engine, whichever it is, may be gone by then, and the thread of
    # the socket ends with an error.
    emit_crashes(but=lambda error: issubclass(error, ConnectionError) and ReportingQueue.is_over.is_set())

    os.makedirs("config", exist_ok=True)
    # With the default, an interface that is slower than the engine skips observations.
    config = {} if args.as_is else {"interface": {"skip_observations": False}}
    OmegaConf.save(OmegaConf.create(config), "config/app.yaml")
    own_id = nullcontext() if args.as_is else mock.patch("uuid.uuid4", return_value=args.id)
    with own_id:
        app = App(
            interface_class_=ActorInterface if args.role == "actor" else ObserverInterface,
            launch=App.LAUNCH_INTERFACE,
            remote_engine_host=args.host if args.port else None,
            remote_engine_port=args.port,
        )
    client = app.interface.remote_communication
    emit("connected", server_id=client.server_id, port=client.port)
    app.run()
    handler = client.get_connection(client.server_id)
    handler.join()
    emit("ended")


if __name__ == "__main__":
    main()
