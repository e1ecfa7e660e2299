import sys

import masep
from countdown import Countdown
from masep import Message


def play(agent: masep.Connection) -> None:
    game = Countdown()
    for message in agent:
        if message.msg_type == Message.MESSAGE_TYPE_ACTION and message.params:
            game.play(message.params["action"])
        elif message.msg_type != Message.MESSAGE_TYPE_REGISTER:
            continue
        if game.left > 0:
            agent.send(Message(Message.MESSAGE_TYPE_OBSERVATION, {"observation": game}, "engine"))
        else:
            agent.send(Message(Message.MESSAGE_TYPE_END_GAME, None, "engine"))


with masep.Server("engine", sys.argv[1]) as server:
    print("listening on {}:{}".format(*server.address), flush=True)
    for agent in server:
        with agent:
            play(agent)
        print(f"{agent.peer} has played", flush=True)
