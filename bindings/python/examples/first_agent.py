import asyncio
import sys
from xml.etree.ElementTree import Element

import masep.aio
from masep import Message, TypeName


async def play() -> None:
    async with masep.aio.connect(sys.argv[1], id="agent-1") as engine:
        await engine.send(Message("define", {"game": TypeName("countdown.Countdown")}, "agent-1"))
        joins = {"id": "agent-1", "queue_id": 0, "role": "Actor"}
        await engine.send(Message("register", joins, "agent-1"))
        async for message in engine:
            if message.msg_type == Message.MESSAGE_TYPE_END_GAME:
                break
            await engine.send(Message("action", {"action": Element("Action", type="2")}, "agent-1"))


asyncio.run(play())
