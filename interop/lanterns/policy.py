"""The choice of a player's move, from the observation's XML alone.

The same function plays for a real pymasep interface (which has objects and turns them into XML) and for
a test that drives `masep join` (which gets XML in JSON), so that both play the same game.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from lanterns import moves


def agent_of(observation: Element, interface_id: str) -> Element | None:
    """The agent that the interface `interface_id` plays, if the observation has one."""
    return observation.find(f"Agent[@control='{interface_id}']")


def whose_turn(observation: Element) -> str:
    """The full name of the agent whose turn it is: the head of the circular list `AgentOrder`."""
    order = observation.find("Object[@name='system']/ObjectState/Characteristic[@name='AgentOrder']/CircularHeadList")
    names = [item.findtext("str") for item in order.findall("data/list/item")]
    return names[int(order.findtext("head_idx"))]


def choose(observation: Element, interface_id: str) -> moves.Move | None:
    """The move of the interface's agent, or None when it is not its turn."""
    me = agent_of(observation, interface_id)
    if me is None or whose_turn(observation) != f"State.{me.get('name')}":
        return None
    here = _cell(me)
    dark = sorted(
        (moves.distance(here, _cell(one)), one.get("name"))
        for one in observation.findall("Object[@nature='lantern']")
        if _text(one, "lit", "bool") == "False" and _text(one, "oil", "int") != "0"
    )
    step = int(observation.get("env_step"))
    if step % 11 == 5:
        return moves.Move(moves.REST, {"how": "", "until": None, "plan": {"a": [1, ("x", -2)], 'é<&>"': {}}})
    if not dark:
        return moves.walk(((1, 0), (0, -1), (-1, 0), (0, 1))[step // 5 % 4])
    gap, name = dark[0]
    if gap <= 1:
        return moves.Move(
            moves.LIGHT,
            {
                "lantern": f"State.{name}",
                "how": 'züge & "ruhig" <so>\n灯',
                "note": [step, (here, True), []],
            },
        )
    goal = next(_cell(o) for o in observation.findall("Object[@nature='lantern']") if o.get("name") == name)
    return moves.walk(moves.step_towards(here, goal))


def _characteristic(one: Element, key: str) -> Element:
    return one.find(f"ObjectState/Characteristic[@name='{key}']")


def _text(one: Element, key: str, kind: str) -> str | None:
    return _characteristic(one, key).findtext(kind)


def _cell(one: Element) -> moves.Cell:
    x, y = (int(item.text) for item in _characteristic(one, "position").findall("tuple/item/int"))
    return x, y
