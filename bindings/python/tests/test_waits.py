"""Every call that waits lets the other threads of Python run: what it waits for is done by one of them.

If it kept the GIL, the test would never get there; a process of its own has a time limit then.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

OPEN = """
import gc, logging, socket, threading
import masep
from masep.communication import Frame, SocketHandler

BODY = bytes(60_000)

def during(call):
    # The call waits in a thread of its own, while this one comes back here to do what it waits for.
    waiting = threading.Thread(target=call)
    waiting.start()
    assert waiting.is_alive(), "the call did not wait, or nobody else could run"
    return waiting

def raw(server):
    # A peer that does nothing by itself.
    peer = socket.create_connection(server.address)
    peer.settimeout(20)
    peer.sendall(b"\\x03\\x00raw")
    return peer

def read_all(peer):
    while peer.recv(1 << 20):
        pass

server = masep.Server("engine", "127.0.0.1:0")
address = "{}:{}".format(*server.address)
"""

#: The call that waits, and what ends its wait.
WAITS = {
    "recv": """
agent = masep.connect(address, id="agent")
engine = server.accept()
waiting = during(agent.recv)
engine.send(b"hi")
""",
    "recv with a timeout": """
agent = masep.connect(address, id="agent")
engine = server.accept()
waiting = during(lambda: agent.recv(20))
engine.send(b"hi")
""",
    "accept": """
waiting = during(server.accept)
agent = masep.connect(address, id="agent")
""",
    "send": """
peer = raw(server)
engine = server.accept()
def send():
    for _ in range(1_000):
        engine.send(BODY)
    engine.close()
waiting = during(send)
read_all(peer)
""",
    "close": """
peer = raw(server)
engine = server.accept()
while engine._connection.try_send(BODY):
    pass
waiting = during(engine.close)
read_all(peer)
""",
    "connect": """
silent = socket.create_server(("127.0.0.1", 0))
waiting = during(lambda: masep.connect("127.0.0.1:%d" % silent.getsockname()[1], id="agent").close())
peer, _ = silent.accept()
peer.sendall(b"\\x06\\x00silent")
read_all(peer)
""",
    "shutdown": """
peer = raw(server)
engine = server.accept()
while engine._connection.try_send(BODY):
    pass
waiting = during(lambda: server.shutdown(20))
read_all(peer)
""",
    "discover": """
waiting = during(lambda: masep.discover(0.5))
""",
    "a handler's receive_frame": """
near, far = socket.socketpair()
handler = SocketHandler(near, "address", logging.getLogger("any"))
waiting = during(handler.receive_frame)
far.sendall(b"\\x02\\x00hi")
""",
    "a handler's send_frame": """
near, far = socket.socketpair()
handler = SocketHandler(near, "address", logging.getLogger("any"))
def send():
    for _ in range(100):
        handler.send_frame(Frame(BODY))
    handler.send_frame(Frame.bye_frame())
waiting = during(send)
read_all(far)
""",
    "the end of a connection that is dropped": """
peer = raw(server)
connections = [server.accept()]
def drop():
    while connections[0]._connection.try_send(BODY):
        pass
    connections.clear()
    gc.collect()
dropping = threading.Thread(target=drop)
dropping.start()
read_all(peer)
waiting = dropping
""",
}


@pytest.mark.parametrize("name", WAITS)
def test_other_threads_run(name):
    code = OPEN + WAITS[name] + "waiting.join(20)\nassert not waiting.is_alive()\nprint('done')\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
