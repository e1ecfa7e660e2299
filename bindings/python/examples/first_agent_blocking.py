import sys
from xml.etree.ElementTree import Element

import masep
from masep import Message, TypeName

with masep.connect(sys.argv[1], id="agent-1") as engine:
    engine.send(Message("define", {"game": TypeName("countdown.Countdown")}, "agent-1"))
    joins = {"id": "agent-1", "queue_id": 0, "role": "Actor"}
    engine.send(Message("register", joins, "agent-1"))
    for message in engine:
        if message.msg_type == Message.MESSAGE_TYPE_END_GAME:
            break
        engine.send(Message("action", {"action": Element("Action", type="2")}, "agent-1"))
