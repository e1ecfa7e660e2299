"""The rules, for the real pymasep engine."""

from __future__ import annotations

import random
from typing import Any
from xml.etree.ElementTree import Element

from pymasep.common import Action, Agent, Environment, Game, State

from lanterns import moves, scene

#: The range of an agent's sight: an actor receives a part of the state, an observer all of it.
SIGHT = 4


class LanternsGame(Game):
    """Light all lanterns at once before the night is over; the keeper snuffs them.

    Configuration (`game` in the engine's file): `seed`, `max_nb_players` (the game waits for that many
    actors), `max_steps` and `lanterns` (how many).
    """

    def __init__(self, cfg: Any = None) -> None:
        super().__init__(cfg=cfg)
        self.is_rewarded = True
        self.seed = int(self.config.game.get("seed", 0))
        self.max_steps = int(self.config.game.get("max_steps", 30))
        self.lanterns = int(self.config.game.get("lanterns", scene.LANTERNS))
        #: The report of `run_engine.py`; filled by the step that ends the game.
        self.result: dict[str, Any] | None = None

    def init_state(self, environment: Environment) -> State:
        """A new night; all chance in it comes from the seed."""
        state = environment.create_object(xml_node=Element("State", name="State", template="SystemStateTemplate"))

        def add(kind: str, name: str, nature: str, values: scene.Values, **attributes: str) -> None:
            node = scene.node(kind, name, nature, values, **attributes)
            state.add_object(scene.create(environment, state, node, values))

        add("Object", "harbour", "place", scene.harbour(type(self)))
        for number, values in enumerate(scene.lanterns(random.Random(f"lanterns {self.seed}"), self.lanterns)):
            add("Object", f"lantern{number}", "lantern", values)
        add(
            "Agent",
            "keeper",
            "keeper",
            scene.keeper(),
            controller="lanterns.keeper.KeeperController",
        )
        return state

    def create_external_agent(self, env: Environment, external_id: str) -> Agent:
        """The agent for the next actor that registers; `control` makes the engine ask that interface."""
        number = len(self._players(env.current_state))
        values = {"position": (2 * number, scene.HEIGHT - 1), **scene.player()}
        node = scene.node("Agent", self.possible_players[number], "player", values, control=external_id)
        return scene.create(env, env.current_state, node, values)

    def next_state(self, current_state: State, actions: dict[str, Action]) -> tuple[State, dict]:
        """Plays the action of the agent whose turn it is; nothing moves before all players are in."""
        order = self.get_system_value(current_state, "AgentOrder")
        action = actions.get(order.head)
        if action is None or len(self._players(current_state)) < self.max_nb_players:
            return current_state, {"state_changed": False}
        log = self._play(current_state, order.head, action)
        moves.set_value(
            current_state,
            "State.harbour",
            "visited",
            moves.value(current_state, "State.harbour", "visited") | {current_state.step + 1},
        )
        info: dict[str, Any] = {
            "state_changed": True,
            "lit": [n for n in moves.lanterns(current_state) if moves.value(current_state, n, "lit")],
            "share": self._share(current_state),
            "last": (order.head, action.type),
            "whisper": None,
            "rest": "",
        }
        if log is not None:
            info["log"] = log
        order.move_head_next()
        return current_state, info

    def reward(self, previous_state: Any, actions: Any, next_state: State) -> dict[str, Any]:
        """The players want light, the keeper wants none; a float, an int and a None go over the wire."""
        share = self._share(next_state)
        rewards: dict[str, Any] = {name: share for name in self._players(next_state)}
        rewards["State.keeper"] = -sum(moves.value(next_state, n, "lit") for n in moves.lanterns(next_state))
        rewards["State.nobody"] = None
        return rewards

    def is_final(self, state: State) -> bool:
        """All lanterns burn, or the night is over."""
        won = self._share(state) == 1.0
        final = won or state.step >= self.max_steps
        if final:
            self.result = {"won": won, "steps": state.step, "share": self._share(state)}
        return final

    @classmethod
    def observe_state(cls, state: State, agent_fname: str) -> State:
        """The view of one agent: everything but the lanterns that are too far away."""
        observation = super().observe_state(state, agent_fname)
        here = moves.value(state, agent_fname, "position")
        for name in moves.lanterns(state):
            if moves.distance(here, moves.value(state, name, "position")) > SIGHT:
                del observation.objects[name]
        return observation

    @staticmethod
    def _players(state: State) -> list[str]:
        return [name for name, one in state.objects.items() if one.nature == "player"]

    @staticmethod
    def _share(state: State) -> float:
        lit = [moves.value(state, name, "lit") for name in moves.lanterns(state)]
        return sum(lit) / len(lit)

    def _play(self, state: State, actor: str, action: Action) -> str | None:
        """Changes the state in place; returns the line for the log, or None when nothing is worth one."""
        if action.type == moves.WALK:
            (x, y), (dx, dy) = moves.value(state, actor, "position"), action.params["step"]
            x, y = min(max(x + dx, 0), scene.WIDTH - 1), min(max(y + dy, 0), scene.HEIGHT - 1)
            moves.set_value(state, actor, "position", (x, y))
            return None
        if action.type == moves.REST:
            moves.set_value(state, actor, "tired", True)
            return f"{actor} rests <zZz> & dreams"
        name = action.params["lantern"]
        if action.type == moves.SNUFF:
            moves.set_value(state, name, "lit", False)
            return f"{actor} löscht {name}"
        oil = moves.value(state, name, "oil")
        near = moves.distance(moves.value(state, actor, "position"), moves.value(state, name, "position")) <= 1
        if near and oil > 0:
            moves.set_value(state, name, "lit", True)
            moves.set_value(state, name, "oil", oil - 1)
            moves.set_value(
                state,
                actor,
                "satchel",
                {
                    "last": name,
                    "how": action.params["how"],
                    "note": action.params["note"],
                },
            )
            return f"{actor} zündet {name} an — 点灯"
        return f'{actor} fumbles at "{name}"'
