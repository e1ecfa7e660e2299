"""Signals, forks, and the end of the interpreter; each in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import masep
import pytest
from masep import Message

OPEN = """
import logging, os, queue, signal, socket, sys, threading, time
import masep
import masep.communication as communication
# The shell of the tests may ignore Ctrl-C, which its programs inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
server = masep.Server("engine", "127.0.0.1:0")
address = "{}:{}".format(*server.address)
agent = masep.connect(address, id="agent", protocol=1)
engine = server.accept()
"""


def run(code: str) -> str:
    """The output of a program that ends in order and without a warning."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", OPEN + code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def interrupted(call: str, before: str = "", after: str = "") -> str:
    """The output of a program whose call is interrupted."""
    return run(
        f"""
{before}
try:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    {call}
except KeyboardInterrupt:
    print("interrupted")
{after}
"""
    )


@pytest.mark.parametrize(
    "call",
    [
        "agent.recv()",
        "agent.recv(60)",
        "agent.recv_message()",
        "list(agent)",
        "server.accept()",
        "server.accept(60)",
        "list(server)",
        "[agent.send(bytes(60_000)) for _ in range(10_000)]",
        "masep.discover(60)",
    ],
)
def test_ctrl_c_ends_every_wait(call):
    assert interrupted(call) == "interrupted\n"


FULL = """
raw = socket.create_connection(server.address)
raw.sendall(b"\\x03\\x00raw")
full = server.accept()
while full._connection.try_send(bytes(60_000)):
    pass
"""


@pytest.mark.parametrize("call", ["full.close()", "server.shutdown(60)"])
def test_ctrl_c_ends_the_wait_for_a_peer_that_does_not_read(call):
    assert interrupted(call, FULL, "raw.close()") == "interrupted\n"


def test_ctrl_c_ends_a_block_though_a_peer_does_not_read():
    patient = 'server = masep.Server("engine", "127.0.0.1:0", limits=masep.Limits(write_time=3_600.0))'
    call = """
    with full:
        agent.recv()
"""
    assert interrupted(call.strip(), patient + FULL, "raw.close()") == "interrupted\n"



def test_an_exit_delivers_what_an_interrupted_block_has_left(tmp_path):
    """The reader takes nothing before the block is over: that waits for a second, and the exit for the rest."""
    over = tmp_path / "over"
    os.mkfifo(over)
    reads = f"""
import time, masep
with masep.Server("engine", "127.0.0.1:0") as server:
    print(server.target, flush=True)
    connection = server.accept(30)
    open({str(over)!r}).close()
    # Longer than an exit that waits for nobody.
    time.sleep(0.5)
    print(sum(len(frame) for frame in iter(connection.recv, None)), connection.close_reason)
"""
    with subprocess.Popen([sys.executable, "-c", reads], stdout=subprocess.PIPE, text=True) as reader:
        try:
            target = reader.stdout.readline().strip()
            frames = run(
                f"""
leaving = masep.connect({target!r}, id="agent", protocol=1)
frames = 0
def fill():
    global frames
    try:
        while True:
            leaving.send(bytes(60000))
            frames += 1
    except masep.TransportError:
        # This side has said BYE.
        pass
filling = threading.Thread(target=fill)
try:
    with leaving:
        filling.start()
        before = -1
        while before != frames:
            before = frames
            time.sleep(0.3)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    open({str(over)!r}, "w").close()
filling.join(10)
print(frames)
"""
            )
            told, reason = reader.communicate(timeout=30)[0].split()
        finally:
            reader.kill()
    assert (int(told), reason) == (int(frames) * 60000, "peer_bye")


SILENT = """
silent = socket.create_server(("127.0.0.1", 0))
port = silent.getsockname()[1]
"""


@pytest.mark.parametrize(
    "call",
    [
        "masep.connect(f'pymasep://127.0.0.1:{port}', id='agent', timeout=60)",
        "communication.Client('a', communication.SocketHandler, (), '127.0.0.1', port).connect()",
    ],
)
def test_ctrl_c_ends_the_wait_for_a_hello(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interrupted(call, SILENT, "silent.close()") == "interrupted\n"


DROP_IN = """
near, far = socket.socketpair()
handler = communication.SocketHandler(near, "address", logging.getLogger("any"))
frame = communication.Frame(bytes(60_000))
"""


@pytest.mark.parametrize(
    "call",
    [
        "handler.receive_frame()",
        "[handler.send_frame(frame) for _ in range(100)]",
        "handler.run()",
        "handler.start(); handler.join()",
    ],
)
def test_ctrl_c_ends_every_wait_of_a_handler(call):
    assert interrupted(call, DROP_IN, "near.close(), far.close()") == "interrupted\n"


def test_ctrl_c_ends_the_wait_of_a_server_for_connections(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listening = """
listening = communication.Server("drop-in", 5, communication.SocketHandler, (), "127.0.0.1", 0)
listening.wait_connection()
"""
    assert interrupted("listening.wait_connection_thread.join()", listening) == "interrupted\n"


@pytest.mark.parametrize("call", ["agent.recv()", "list_of(agent)", "server.accept()", "masep.aio.discover(60)"])
def test_ctrl_c_ends_every_wait_of_asyncio(call):
    printed = run(
        f"""
import asyncio, masep.aio
async def list_of(connection):
    return [message async for message in connection]
async def main():
    async with masep.aio.Server("engine", "127.0.0.1:0") as server:
        async with masep.aio.connect("{{}}:{{}}".format(*server.address), id="agent") as agent:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            engine = await server.accept()
            await {call}
try:
    asyncio.run(main(), debug=False)  # It prints what is slow on a busy machine.
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert printed == "interrupted\n"


#: Ends of what other threads wake: that of a server, and that of an event loop of which connections are left.
ENDS_OF_THE_WOKEN = {
    "server": "server.shutdown()",
    "event loop": """
import asyncio, masep.aio
async def open_both():
    served = masep.aio.Server("engine", "127.0.0.1:0")
    connection = await masep.aio.connect("{}:{}".format(*served.address), id="other", protocol=1)
    return served, connection, await served.accept()
with asyncio.Runner() as runner:
    left = runner.run(open_both())
""",
}


@pytest.mark.parametrize("end", ENDS_OF_THE_WOKEN)
def test_nobody_is_woken_with_a_signal_that_ends_the_process(end):
    run(f"signal.signal(signal.SIGPIPE, signal.SIG_DFL){chr(10)}{ENDS_OF_THE_WOKEN[end]}")


def test_a_fork_is_told_and_disturbs_nobody():
    printed = run(
        """
child = os.fork()
if child == 0:
    for call in (lambda: agent.send(b"x"), agent.recv, server.accept):
        try:
            call()
        except masep.CallerError:
            print("refused", flush=True)
    del agent, engine, server
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
agent.send(b"after")
assert engine.recv(10) == b"after"
"""
    )
    assert printed == "refused\n" * 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pipes are looked at in /proc")
def test_a_fork_is_woken_by_nobody_of_its_parent():
    run(
        """
def pipes():
    for number in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass
def wait(connection):
    try:
        connection.recv(0.01)
    except masep.TimedOut:
        pass
wait(agent)
child = os.fork()
if child == 0:
    with masep.Server("child", "127.0.0.1:0") as own, masep.connect(own.target, id="other") as other:
        before = set(pipes())
        wait(other)
        assert [pipe for pipe in pipes() if pipe.startswith("pipe:") and pipe not in before]
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )


def test_a_fork_sends_all_though_the_thread_for_that_is_its_parents():
    run(
        """
child = os.fork()
if child == 0:
    other = masep.connect(address, id="other")
    sent = 0
    for _ in range(3):
        while other._connection.try_send(bytes(60_000)):
            sent += 1
    other.close()
    os._exit(sent)
frames = list(iter(server.accept(10).recv, None))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(frames) > 0
"""
    )


def test_ctrl_c_ends_the_waits_of_a_process_that_any_thread_has_forked():
    printed = run(
        """
def fork():
    # It has waited as a thread that signals do not concern, and is the main one of the child.
    engine.send(b"hi")
    assert agent.recv() == b"hi"
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with masep.Server("child", "127.0.0.1:0") as own:
            try:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                own.accept()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
forking = threading.Thread(target=fork)
forking.start()
forking.join()
"""
    )
    assert printed == "interrupted\n"


def test_a_fork_is_told_by_the_classes_of_pymasep_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = run(
        """
listening = communication.Server("drop-in", 5, communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", 0)
listening.wait_connection()
client = communication.Client(
    "agent", communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", listening.socket.getsockname()[1]
)
client.connect()
handler = client.get_connection("drop-in")
frame = communication.Frame(b"hi")
child = os.fork()
if child == 0:
    for call in (
        lambda: handler.send_frame(frame),
        handler.receive_frame,
        lambda: handler.send_frame_async(frame),
        lambda: client.send_frame_to("drop-in", frame),
        listening.wait_announcement,
    ):
        try:
            call()
        except masep.CallerError:
            print("refused", flush=True)
    # It may have connections of its own.
    with masep.Server("child", "127.0.0.1:0") as own:
        with masep.connect("{}:{}".format(*own.address), id="other") as other:
            other.send(b"hi")
            assert own.accept(10).recv(10) == b"hi"
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
client.send_frame_to("drop-in", frame)
assert listening.socket_handler_args[0].get(timeout=10) == b"hi"
"""
    )
    assert printed == "refused\n" * 5


def test_a_fork_takes_no_listening_socket_of_the_classes_of_pymasep(tmp_path, monkeypatch):
    """It acts on the socket that both processes have, before the server waits for connections and behind that."""
    monkeypatch.chdir(tmp_path)
    run(
        """
handlers = communication.SocketHandlerQueue, (queue.Queue(),)
listening = communication.Server("drop-in", 5, *handlers, "127.0.0.1", 0)
address = listening.socket.getsockname()
for waits in (False, True):
    if waits:
        listening.wait_connection()
    for dropped in (False, True):
        child = os.fork()
        if child == 0:
            if dropped:
                del listening
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        socket.create_connection(address).close()
"""
    )


def test_a_fork_reads_messages_though_a_thread_of_its_parent_was_reading_one():
    run(
        """
from masep.communication import _message
data = masep.Message("action", {"action": 1}, "agent").to_bytes()
with _message._taking.lock:
    reading = masep.Message("", None, "")
    reading.from_bytes(data)
    child = None
    def fork():
        global child
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            assert reading.params == {"action": 1}
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    forking = threading.Thread(target=fork)
    forking.start()
    forking.join()
"""
    )


def test_a_fork_leaves_the_connections_of_an_event_loop_alone():
    run(
        """
import asyncio
import masep.aio

async def open_both():
    return masep.aio.Server("engine", "127.0.0.1:0"), await masep.aio.connect(address, id="other", protocol=1)

with asyncio.Runner() as runner:
    served, connection = runner.run(open_both())
    peer = server.accept(10)
    child = os.fork()
    if child == 0:
        # The loop watches for both processes.
        del served, connection
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    peer.send(b"after")
    assert runner.run(connection.recv()) == b"after"
    runner.run(connection.close())
    runner.run(served.shutdown())
"""
    )


def test_an_exit_with_live_connections_says_bye(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(
        """
listening = communication.Server("drop-in", 5, communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", 0)
listening.wait_connection()
port = listening.socket.getsockname()[1]
clients = []
for number in range(3):
    client = communication.Client(str(number), communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", port)
    client.connect()
    clients.append(client)
threading.Thread(target=agent.recv, daemon=True).start()
"""
    )


def exit_heard(program: str, peer_of: Callable[[int], socket.socket], hello: bytes) -> bytes:
    """The bytes that a peer gets from a program that prints a port, and comes to its end."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        with peer_of(int(running.stdout.readline())) as peer:
            peer.settimeout(10)
            peer.sendall(hello)
            heard = b""
            while more := peer.recv(100):
                heard += more
        assert running.wait(10) == 0
    return heard


# A thread that waits keeps its connection: nothing but the end of the program closes it.
KEPT = """
kept.send(b"last")
threading.Thread(target=kept.recv, daemon=True).start()
"""


def test_an_exit_is_heard_by_the_agents():
    program = f"""
import masep, threading
server = masep.Server("engine", "127.0.0.1:0")
print(server.address[1], flush=True)
kept = server.accept()
{KEPT}
"""
    heard = exit_heard(program, lambda port: socket.create_connection(("127.0.0.1", port)), b"\x05\x00agent")
    assert heard == b"\x06\x00engine\x04\x00last\x03\x00BYE"


def test_an_exit_is_heard_by_the_engine():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        port = listening.getsockname()[1]
        program = f"""
import masep, threading
print({port}, flush=True)
kept = masep.connect("pymasep://127.0.0.1:{port}", id="agent")
{KEPT}
"""
        heard = exit_heard(program, lambda _port: listening.accept()[0], b"\x06\x00engine")
    assert heard == b"\x05\x00agent\x04\x00last\x03\x00BYE"


@pytest.mark.parametrize(
    "waiting",
    [
        "agent.recv()",
        "server.accept()",
        "masep.discover(60)",
        "[agent.send(bytes(60_000)) for _ in range(10_000)]",
    ],
)
def test_an_exit_waits_for_no_thread_that_waits(waiting):
    run(
        f"""
def wait():
    started.set()
    try:
        {waiting}
    except masep.MasepError:
        pass
started = threading.Event()
threading.Thread(target=wait, daemon=True).start()
started.wait()
"""
    )


def test_ctrl_c_ends_the_wait_of_an_exit():
    program = f"""{OPEN}
import atexit
from masep import _live
server = masep.Server("engine", "127.0.0.1:0", limits=masep.Limits(write_time=3_600.0))
{FULL}
_live.EXIT_SECONDS = 3_600.0
ending = threading.Event()
atexit.register(ending.set)
def interrupt():
    ending.wait()
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert "KeyboardInterrupt" in ended.stderr


def test_an_exit_ends_all_tables_at_the_same_time():
    """No client answers the end of its game, for which each table waits much longer than the exit does."""
    program = """
import masep
from masep import _live
_live.EXIT_SECONDS = 1.0
tables = [masep.Table("any.Game", ["red"], "127.0.0.1:0", farewell=3_600.0) for _ in range(3)]
print(*(table.target for table in tables), flush=True)
for table in tables:
    table.filled(30)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        clients = [masep.connect(target, id="any", protocol=1) for target in running.stdout.readline().split()]
        for client in clients:
            client.send(Message("define", {"game": masep.TypeName("any.Game")}, "any"))
            client.send(Message("register", {"id": "any", "queue_id": 0, "role": "Actor"}, "any"))
        for client in clients:
            while client.recv_message(30).msg_type != Message.MESSAGE_TYPE_END_GAME:
                pass
        assert running.wait(30) == 0
    for client in clients:
        client.close()


def test_an_exit_with_connections_of_asyncio():
    run(
        """
import asyncio, masep.aio
async def main():
    global kept
    server = masep.aio.Server("engine", "127.0.0.1:0")
    agent = await masep.aio.connect("{}:{}".format(*server.address), id="agent")
    kept = server, agent, await server.accept()
    asyncio.get_running_loop().create_task(agent.recv())
    await asyncio.sleep(0)
asyncio.run(main(), debug=False)  # It prints what is slow on a busy machine.
"""
    )


def test_an_exit_with_a_live_subinterpreter():
    printed = run(
        """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
alive = interpreters.create()
interpreters.run_string(alive, '''
for name in "masep", "masep.aio", "masep.communication", "masep.monkey":
    try:
        __import__(name)
    except ImportError as error:
        assert "subinterpreters" in str(error), error
        print("refused", flush=True)
''')
"""
    )
    assert printed == "refused\n" * 4


def test_an_import_brings_nothing_along():
    code = (
        "import sys; before = set(sys.modules); import masep, masep.aio, masep.monkey; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert printed.stdout == "['masep']\n", printed.stderr


#: What a daemon thread does without a pause, whatever it is told.
LOOPS_OF_A_DAEMON = {
    "send": "agent.send(b'x')",
    "recv": "agent.recv(0.001)",
    "a wrong call": "agent.send(None)",
    "connect": "masep.connect(address, id='other', timeout=1).close()",
}


@pytest.mark.parametrize("loop", LOOPS_OF_A_DAEMON)
def test_an_interpreter_ends_beside_a_thread_that_never_stops_calling(loop):
    """Up to CPython 3.13 such a thread is ended wherever it is when it wants the GIL."""
    code = f"""
begun = threading.Event()
def call():
    while True:
        begun.set()
        try:
            {LOOPS_OF_A_DAEMON[loop]}
        except (masep.MasepError, TypeError):
            pass
def take():
    try:
        for _ in engine:
            pass
    except masep.MasepError:
        pass
for target in (call, call, take):
    threading.Thread(target=target, daemon=True).start()
begun.wait()
print("ends", flush=True)
"""
    for _ in range(5):
        assert run(code) == "ends\n"


@pytest.mark.parametrize("function", ["late", "view"])
def test_an_interpreter_ends_beside_a_function_of_a_table_that_runs(function):
    """The thread is in Python, with frames of the extension around it."""
    code = f"""
begun = threading.Event()
def slow(_seat):
    begun.set()
    for _ in range(100):
        time.sleep(0.001)
    return 1
late, view = (slow, lambda _seat: 1) if {function!r} == "late" else (2, slow)
def play():
    while True:
        try:
            with masep.Table("pkg.Game", ["red"], "127.0.0.1:0", deadline=0.001, late=late) as table:
                with masep.join(table.target, id="a", game="pkg.Game") as seat:
                    try:
                        seat.next_turn(0)
                    except masep.TimedOut:
                        pass
                    table.open(["red"], view).next()
        except masep.MasepError:
            pass
for _ in range(4):
    threading.Thread(target=play, daemon=True).start()
begun.wait()
print("ends", flush=True)
"""
    for _ in range(3):
        assert run(code) == "ends\n"
