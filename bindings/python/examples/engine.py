import sys
import threading

import masep
from countdown import Countdown
from masep import Message

TURN = 5.0  # seconds that an agent has for an answer


def play(agent: masep.Connection) -> str:
    game = Countdown()
    while (message := agent.recv_message(TURN)) is not None:
        if message.msg_type == Message.MESSAGE_TYPE_ACTION and message.params:
            game.play(message.params.get("action"))
        elif message.msg_type != Message.MESSAGE_TYPE_REGISTER:
            continue
        if game.left > 0:
            agent.send(Message(Message.MESSAGE_TYPE_OBSERVATION, {"observation": game}, "engine"))
        else:
            agent.send(Message(Message.MESSAGE_TYPE_END_GAME, None, "engine"))
    return "has left" if game.left > 0 else "has played"


def serve(agent: masep.Connection) -> None:
    with agent:
        try:
            outcome = play(agent)
        except masep.MasepError as error:  # it crashed, sent nonsense or fell asleep
            outcome = f"is out: {error}"
    print(f"{agent.peer!r} {outcome}\n", end="", flush=True)  # a line in one piece


with masep.Server("engine", sys.argv[1]) as server:
    print("listening on {}:{}".format(*server.address), flush=True)
    for agent in server:  # each in a thread of its own, so that none holds up another
        threading.Thread(target=serve, args=(agent,), daemon=True).start()
