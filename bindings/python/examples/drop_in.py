import queue
import sys

from countdown import Countdown, Move
from masep.communication import Client, Frame, Message, SocketHandlerQueue

host, port = sys.argv[1].split(":")
received: queue.Queue[bytes] = queue.Queue()
client = Client("agent-1", SocketHandlerQueue, (received,), host, int(port))
client.connect()


def send(msg_type: str, params: dict[str, object] | None) -> None:
    client.send_frame_to("engine", Frame(Message(msg_type, params, client.id).to_bytes()))


send(Message.MESSAGE_TYPE_DEFINE, {"game": Countdown})
send(Message.MESSAGE_TYPE_REGISTER, {"id": client.id, "queue_id": 0, "role": "Actor"})
message = Message("", None, "")
while True:
    message.from_bytes(received.get(timeout=60))
    if message.msg_type == Message.MESSAGE_TYPE_END_GAME:
        break
    send(Message.MESSAGE_TYPE_ACTION, {"action": Move()})
client.send_frame_to("engine", Frame.bye_frame())
client.get_connection("engine").join()
