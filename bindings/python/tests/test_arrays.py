"""Arrays between two connections: every type and shape, bit for bit, with numpy and without."""

from __future__ import annotations

import array
import asyncio
import contextlib
import ctypes
import hashlib
import itertools
import pickle
import random
import socket
import subprocess
import sys
import threading
import time

import masep
import masep.aio
import numpy as np
import pytest
from masep import Array, Message
from soon import SOON


DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]
SHAPES = [
    (),
    (0,),
    (1,),
    (7,),
    (3, 0, 2),
    (2, 3),
    (1, 1, 1, 1),
    (5, 4, 3, 2),
    (1,) * 32,
    (4_096,),
    (70, 1_001),
    (84, 84, 4),
]


def filled(dtype, shape, seed=0):
    """An array of random bits, which are numbers of every kind: nan with payloads, -0.0, infinities."""
    count = int(np.prod(shape, dtype=int))
    generator = random.Random(f"{dtype}{shape}{seed}")
    size = np.dtype(dtype).itemsize
    if dtype == "bool":
        data = bytes(generator.choices(b"\0\1", k=count))
    else:
        data = generator.randbytes(count * size)
    return np.frombuffer(data, dtype).reshape(shape)


@pytest.fixture(scope="module")
def server():
    """A server that answers each message with its parameters."""
    with masep.Server("engine", "127.0.0.1:0") as server:

        def answer(peer):
            for message in peer:
                peer.send(Message("observation", message.params, "engine"))

        def serve():
            for peer in server:
                threading.Thread(target=answer, args=(peer,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server


@pytest.fixture
def agent(server):
    with masep.connect(server.target, id=f"agent {random.random()}", protocol=2) as agent:
        yield agent


def answered(agent, value):
    agent.send(Message("action", {"value": value}, "agent"))
    message = agent.recv_message(SOON)
    assert message is not None
    return message.params["value"]


def check_same(received, sent):
    """Bit for bit, writable, and nobody else's."""
    assert isinstance(received, np.ndarray)
    assert (received.dtype, received.shape) == (sent.dtype, sent.shape)
    assert received.tobytes() == sent.tobytes()
    assert received.flags.writeable and received.flags.c_contiguous
    assert received.ctypes.data % sent.itemsize == 0
    received.fill(1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_and_shape_arrives_bit_for_bit(agent, dtype):
    for shape in SHAPES:
        sent = filled(dtype, shape)
        check_same(answered(agent, sent), sent)


@pytest.mark.parametrize("seed", range(4))
def test_many_arrays_in_one_message_arrive_bit_for_bit(agent, seed):
    generator = random.Random(seed)
    dtypes = generator.choices(DTYPES, k=20)
    sent = [filled(dtype, generator.choice(SHAPES), number) for number, dtype in enumerate(dtypes)]
    received = answered(agent, {"a": [1, (sent, "x")]})["a"][1][0]
    for one, other in zip(received, sent, strict=True):
        check_same(one, other)
    # They are written to one by one: none has memory of another.
    for one, other in itertools.pairwise(received):
        assert not np.shares_memory(one, other)


def test_a_megabyte_arrives_bit_for_bit_again_and_again(server):
    limits = masep.Limits(payload_bytes=8 << 20)
    kept = []
    with masep.connect(server.target, id="camera", protocol=2, limits=limits) as agent:
        for number, size in enumerate([1_000_000, 1_000_000, 999_999, 500_000, 1_000_000] * 4):
            sent = filled("uint8", (size,), number)
            received = answered(agent, sent)
            assert np.array_equal(received, sent)
            received[:] = 7
            if number % 3 == 0:
                kept.append((received, number))
    # Memory that was given out is not read into again while somebody has it.
    assert all((received == 7).all() for received, _ in kept)


@pytest.mark.parametrize("size", [28_224, 100_800, 1_000_000])
def test_an_array_has_the_memory_of_its_frame(size):
    """The memory that one array had is that of the next, which is not so if they are copies of their frames."""
    limits = masep.Limits(payload_bytes=4 << 20)
    with (
        masep.Server("engine", "127.0.0.1:0", limits=limits) as server,
        masep.connect(server.target, id="agent", protocol=2) as agent,
    ):
        engine, places = server.accept(SOON), []
        for number in range(6):
            sent = filled("uint8", (size,), number)
            params = {"n": number, "camera": sent, "text": "é" * 10, "small": sent[:10]}
            sending = threading.Thread(target=agent.send, args=(Message("a", params, "agent"),))
            sending.start()
            received = engine.recv_message(SOON).params
            sending.join(SOON)
            assert received.pop("text") == "é" * 10 and received.pop("n") == number
            check_same(received.pop("small"), sent[:10])
            camera = received["camera"]
            assert np.array_equal(camera, sent)
            # In its frame it stands behind other bytes, and nothing is kept that it does not need.
            places.append(camera.ctypes.data)
            del camera, received
        if size > 72 * 1024:
            assert len(set(places[1:])) == 1


@pytest.mark.parametrize("size", [30_000, 300_000])
def test_an_array_that_is_most_of_its_message_keeps_its_place_among_the_others(agent, size):
    """It is taken last, because it gets the memory of the frame."""
    large, small = filled("uint8", (size,)), filled("float32", (3, 2))
    sent = {"a": "text", "camera": large, "small": small, "z": {"x": [1, small]}, "bytes": b"x" * 100}
    others = [{"in": {"deep": large}, "z": small}, {"one": large, "two": large}, {"camera": large[: size // 2], "text": "y" * size}]
    for params in [sent, *others, sent]:
        agent.send(Message("action", params, "agent"))
        got = agent.recv_message(SOON).params
        assert same(got, params)


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.flags.writeable and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return one == other


def test_numbers_that_are_easily_changed_are_not(agent):
    for dtype, bits in [
        ("float16", [0x7E01, 0xFC01, 0x8000, 0x0001]),
        ("float32", [0x7F800001, 0xFFC12345, 0x80000000, 1]),
        ("float64", [0x7FF0000000000001, 0xFFF8123456789ABC, 0x8000000000000000, 1]),
    ]:
        sent = np.array(bits, f"u{np.dtype(dtype).itemsize}").view(dtype)
        check_same(answered(agent, sent), sent)


def test_whatever_has_a_buffer_is_an_array(agent):
    base = np.arange(60, dtype="i4").reshape(3, 4, 5)
    for given, expected in [
        (array.array("d", [1.5, -0.0]), np.array([1.5, -0.0])),
        (array.array("H"), np.zeros(0, "u2")),
        (memoryview(b"abcdef").cast("B", (2, 3)), np.frombuffer(b"abcdef", "u1").reshape(2, 3)),
        (memoryview(np.arange(2, dtype="<u2")), np.arange(2, dtype="u2")),
        (memoryview(b"\xff\x01").cast("b"), np.array([-1, 1], "i1")),
        (base[::2, ::-1, 1:4], base[::2, ::-1, 1:4]),
        (base.T, base.T),
        (np.broadcast_to(np.float32(2), (3, 3)), np.full((3, 3), 2, "f4")),
        (Array((2, 2), "float16"), np.zeros((2, 2), "f2")),
        (np.memmap(__file__, "u1", "r", shape=(5,)), np.memmap(__file__, "u1", "r", shape=(5,))),
        (np.zeros(3, ">u1"), np.zeros(3, "u1")),
    ]:
        check_same(answered(agent, given), np.ascontiguousarray(expected))


def test_what_is_bytes_or_a_number_stays_that(agent):
    for given, expected in [
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (np.int64(-3), -3),
    ]:
        received = answered(agent, given)
        assert type(received) is type(expected) and received == expected


class Tensor:
    """A tensor of torch, as far as it is used."""

    def __init__(self, items):
        self.items = items
        self.dtype = "torch.bfloat16" if items is None else "torch.float32"

    def numpy(self, *, force):
        assert force
        if self.items is None:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.items


def test_tensors_of_torch_are_sent_as_arrays_of_numpy(agent, monkeypatch):
    torch = type(sys)("torch")
    torch.Tensor = Tensor
    monkeypatch.setitem(sys.modules, "torch", torch)
    sent = filled("float32", (3, 4))
    check_same(answered(agent, Tensor(sent)), sent)
    with pytest.raises(masep.CallerError, match=r"params\['value'\]\[0\].*bfloat16.*\.float\(\)"):
        agent.send(Message("action", {"value": [Tensor(None)]}, "agent"))


def test_what_the_socket_leaves_is_copied():
    """asyncio's `send` begins a frame, and the array is changed while the rest of it waits."""

    async def play():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            async with masep.aio.connect(server.target, id="agent", protocol=2) as agent:
                engine = await server.accept()
                camera = np.full(1_000_000, 5, "u1")
                sending = []
                for number in range(8):
                    message = Message("observation", {"n": number, "camera": camera}, "agent")
                    task = asyncio.ensure_future(agent.send(message))
                    sending.append(task)
                # Each has begun its frame, or waits for the ones before it.
                await asyncio.sleep(0)
                begun = [task.done() for task in sending].index(False)
                camera[:] = 6
                for number in range(8):
                    message = await engine.recv_message(SOON)
                    values = np.unique(message.params["camera"])
                    assert message.params["n"] == number
                    assert len(values) == 1, (number, begun, values)
                    if number <= begun:
                        assert values[0] == 5
                await asyncio.gather(*sending)

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_pymasep_peer_is_named_with_the_way_out(server):
    with masep.connect(server.target, id="old", protocol=1) as agent:
        message = Message("action", {"o": {"camera": [np.zeros((2, 3), "u1")]}}, "old")
        with pytest.raises(masep.UnsupportedError) as raised:
            agent.send(message)
        copied = pickle.loads(pickle.dumps(raised.value))
        for error in (raised.value, copied):
            assert (error.peer, error.protocol) == ("engine", 1)
            for part in ("params['o']['camera'][0]", "uint8[2,3]", ".tolist()", "masep on both ends"):
                assert part in str(error)
        with pytest.raises(masep.CallerError, match=r"params\['o'\]\['camera'\]\[0\].*tolist"):
            message.to_bytes()
        assert answered(agent, np.zeros(2).tolist()) == [0.0, 0.0]
        assert agent.peer_limits == masep.PeerLimits(protocol=1, frame_bytes=65_535)


def test_messages_with_arrays_are_equal_by_type_shape_and_bytes():
    def message(camera):
        return Message("observation", {"camera": camera}, "engine")

    one = np.array([np.nan, -0.0])
    assert message(one) == message(one.copy())
    assert message(one) != message(np.array([np.nan, 0.0]))
    assert message(np.zeros((2, 3))) != message(np.zeros((3, 2)))
    assert message(np.zeros(2)) != message(np.zeros(2, "f4"))


def test_a_message_in_cbor_is_read_back():
    sent = Message("observation", {"camera": filled("int16", (5, 7)), "x": (1, {2})}, "engine")
    read = Message("", None, "")
    read.from_cbor(sent.to_cbor())
    assert read.to_cbor() == sent.to_cbor()
    assert read.params["x"] == (1, {2})
    check_same(read.params["camera"], sent.params["camera"])
    with pytest.raises(masep.PeerError):
        read.from_cbor(b"<Message/>")


# --- without numpy


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_without_numpy_has_a_buffer(dtype):
    for shape in SHAPES:
        expected = filled(dtype, shape)
        made = Array(shape, dtype, expected.tobytes())
        assert (made.dtype, made.shape, made.ndim) == (dtype, shape, len(shape))
        assert (made.itemsize, made.nbytes) == (expected.itemsize, expected.nbytes)
        seen = np.asarray(made)
        assert (seen.dtype, seen.shape, seen.tobytes()) == (expected.dtype, shape, expected.tobytes())
        assert seen.dtype.num == expected.dtype.num
        view = memoryview(made)
        assert (view.format, view.shape, view.readonly) == (made.format, shape, False)
        assert view.c_contiguous and bytes(view) == expected.tobytes() == made.tobytes()
        if expected.size < 1_000:
            assert repr(made.tolist()) == repr(expected.tolist())
        assert made == Array(shape, dtype, expected.tobytes())
        assert pickle.loads(pickle.dumps(made)) == made
        assert len(repr(made)) < 150 and dtype in repr(made)


def test_an_array_is_written_to_through_its_buffer():
    made = Array((2, 2), "int32")
    memoryview(made)[1, 0] = 5
    assert made.tolist() == [[0, 0], [5, 0]]
    assert made != Array((2, 2), "int32") and made != Array((4,), "int32", made.tobytes())
    np.asarray(made)[:] = 1
    assert made.tolist() == [[1, 1], [1, 1]]
    assert (made == 1) is False and len(made) == 2
    with pytest.raises(TypeError):
        len(Array((), "bool"))
    with pytest.raises(TypeError):
        hash(made)


def test_a_buffer_is_given_as_it_is_asked_for():
    made = Array((2, 3), "uint16", bytes(range(12)))
    # Without a shape: of bytes.
    assert hashlib.sha256(made).digest() == hashlib.sha256(bytes(range(12))).digest()
    view, columns = ctypes.create_string_buffer(256), 0x0040 | 0x0010 | 0x0008
    get = ctypes.pythonapi.PyObject_GetBuffer
    get.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
    with pytest.raises(BufferError):
        get(made, view, columns)
    assert get(Array((1, 3), "uint16"), view, columns) == 0
    ctypes.pythonapi.PyBuffer_Release(view)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (((2,), "float128"), "no type of items"),
        (((2,), "uint8", b"abc"), "3"),
        (((1,) * 33, "uint8"), "32"),
        (((1 << 62, 1 << 62), "uint8"), "too large"),
        (((2,), "bool", b"\0\2"), "bool"),
        (((2,), "uint8", 5), "buffer"),
    ],
)
def test_what_is_no_array_is_the_callers_fault(arguments, fault):
    with pytest.raises(masep.CallerError, match=fault):
        Array(*arguments)


WITHOUT = """
import array, sys, threading
sys.modules["numpy"] = None
import masep
from masep import Array, Message
with masep.Server("engine", "127.0.0.1:0") as server:
    with masep.connect(server.target, id="agent", protocol=2) as agent:
        engine = server.accept(10)
        for given in (Array((2, 0), "bool"), Array((), "float16", b"\\0\\x3c"), array.array("f", [1, 2]), Array((300, 500), "int32")):
            threading.Thread(target=agent.send, args=(Message("a", {"x": [given]}, "agent"),)).start()
            received = engine.recv_message(10).params["x"][0]
            assert type(received) is Array, type(received)
            assert memoryview(received).shape == memoryview(given).shape
            assert bytes(received) == bytes(given)
            print(received, received.tolist() if received.nbytes < 100 else "")
assert sys.modules["numpy"] is None
"""


def test_without_numpy_arrays_are_those_of_masep():
    run = subprocess.run([sys.executable, "-c", WITHOUT], text=True, capture_output=True, timeout=50)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "<masep.Array bool[2,0]> [[], []]",
        "<masep.Array float16[]> 1.0",
        "<masep.Array float32[2]> [1.0, 2.0]",
        "<masep.Array int32[300,500]> ",
    ]


def test_numpy_is_imported_for_the_first_array_and_not_before():
    program = """
import sys, masep
from masep import Array, Message
message = Message("a", {"x": 1, "y": Array((2,), "uint8")}, "b")
data = message.to_cbor()
read = Message("", None, "")
read.from_cbor(data)
assert "numpy" not in sys.modules
assert type(read.params["y"]).__name__ == "ndarray"
"""
    run = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, timeout=50)
    assert run.returncode == 0, run.stderr


# --- the words of protocol 2


def test_ends_notices_and_pings_have_words():
    with (
        masep.Server("engine", "127.0.0.1:0") as server,
        masep.connect(f"masep://{server.target}", id="agent") as agent,
    ):
        engine = server.accept(SOON)
        assert (agent.protocol, engine.protocol) == (2, 2)
        assert agent.peer_limits == masep.PeerLimits(protocol=2, frame_bytes=1 << 20)
        assert engine.peer_limits == masep.PeerLimits(protocol=2, frame_bytes=16 << 20)
        assert isinstance(agent.welcome, masep.Welcome) and engine.welcome is None
        assert agent.welcome.heartbeat == 10.0
        engine.notice("late", "turn 7 is over", {"turn": 7})
        engine.send(b"x")
        assert agent.recv(SOON) == b"x"
        assert agent.try_notice() == masep.Notice("late", "turn 7 is over", {"turn": 7})
        assert agent.try_notice() is None
        assert agent.rtt is None and agent.ping()
        agent.send(b"question")
        assert engine.recv(SOON) == b"question"
        engine.send(b"answer")
        assert agent.recv(SOON) == b"answer"
        assert agent.rtt > 0
        with pytest.raises(masep.CallerError, match="about is a dict"):
            engine.notice("late", about=[1])
        for call in (engine.bye, engine.notice):
            for code, said in [("ü" * 33, "this has 66"), ("over\n", r'"over\\n"')]:
                with pytest.raises(masep.CallerError, match=said):
                    call(code)
        assert engine.bye("done", "good game", may_return=False) == "local_bye"
        assert agent.recv(SOON) is None
        assert agent.close_reason == "peer_bye"
        assert agent.peer_bye == masep.Bye("done", "good game", may_return=False)
        with pytest.raises(masep.TransportError) as raised:
            agent.send(b"x")
        assert (raised.value.code, raised.value.text) == ("done", "good game")


def test_words_of_protocol_2_are_none_in_the_other():
    with (
        masep.Server("engine", "127.0.0.1:0", protocol=1) as server,
        masep.connect(server.target, id="agent") as agent,
    ):
        engine = server.accept(SOON)
        assert agent.protocol == 1
        assert (agent.welcome, agent.rtt, agent.ping(), agent.try_notice()) == (None, None, False, None)
        agent.notice("late")
        # Else the end is taken for a refusal.
        engine.send(b"welcome")
        assert agent.recv(SOON) == b"welcome"
        engine.bye("done", "good game")
        assert agent.recv(SOON) is None
        assert (agent.close_reason, agent.peer_bye) == ("peer_bye", None)


def test_an_address_or_an_option_insists_on_a_protocol():
    with masep.Server("old", "127.0.0.1:0", protocol=1) as server:
        for target, protocol in [(f"masep://{server.target}", None), (server.target, 2)]:
            with pytest.raises(masep.TransportError) as raised:
                masep.connect(target, id="agent", protocol=protocol)
            assert raised.value.reason == "other_protocol"
    with masep.Server("new", "127.0.0.1:0", protocol=2) as server:
        with pytest.raises(masep.RejectedError):
            with masep.connect(f"pymasep://{server.target}", id="agent") as agent:
                agent.recv(SOON)


def test_asyncio_has_the_same_words():
    async def play():
        async with masep.aio.Server("engine", "127.0.0.1:0") as server:
            agent = await masep.aio.connect(server.target, id="agent", protocol=2)
            engine = await server.accept()
            sent = filled("float32", (300, 500))
            sending = agent.send(Message("action", {"x": sent}, "agent"))
            _, received = await asyncio.gather(sending, engine.recv_message(SOON))
            check_same(received.params["x"], sent)
            engine.notice("late")
            with pytest.raises(masep.CallerError, match="this has 65"):
                await engine.bye("x" * 65)
            await engine.bye("done", "good game")
            assert await agent.recv(SOON) is None
            assert agent.peer_bye == masep.Bye("done", "good game")
            assert agent.try_notice() == masep.Notice("late")
            await agent.close()

    asyncio.run(asyncio.wait_for(play(), SOON))


class Relay:
    """Hands on what a client and a server say, but for what the server says beyond so many bytes."""

    def __init__(self, target):
        host, port = target.split(":")
        self.there = (host, int(port))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.target = "{}:{}".format(*self.listening.getsockname())
        self.may_pass, self.passed = threading.Condition(), 0
        self.bound = 1 << 40
        self.ends = ()
        self.running = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.running.start()
        return self

    def __exit__(self, *error):
        self.go_on()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.running.join(SOON)
        self.listening.close()

    def run(self):
        with self.listening.accept()[0] as near, socket.create_connection(self.there) as far:
            self.ends = (near, far)
            up = threading.Thread(target=self.hand_on, args=(near, far, lambda data: data), daemon=True)
            up.start()
            self.hand_on(far, near, self.held)
            up.join(SOON)

    def hand_on(self, source, sink, held):
        try:
            while data := source.recv(16_384):
                sink.sendall(held(data))
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            with contextlib.suppress(OSError):
                source.shutdown(socket.SHUT_RDWR)

    def held(self, data):
        with self.may_pass:
            self.may_pass.wait_for(lambda: self.passed + len(data) <= self.bound)
            self.passed += len(data)
            self.may_pass.notify_all()
        return data

    def stop_after(self, count):
        with self.may_pass:
            self.bound = self.passed + count

    def go_on(self):
        with self.may_pass:
            self.bound = 1 << 40
            self.may_pass.notify_all()


def test_a_large_frame_that_stalls_holds_up_neither_a_deadline_nor_a_close():
    """A read that waits for all of its rest ends when the call has to."""
    array = np.arange(1_000_000, dtype=np.uint8)
    with masep.Server("engine", "127.0.0.1:0") as server, Relay(server.target) as relay:
        client = masep.connect(relay.target, id="agent", protocol=2)

        def send():
            # The client leaves in the middle of the last one.
            with contextlib.suppress(masep.TransportError):
                connection.send(Message("m", {"it": array}, "engine"))

        connection = server.accept(SOON)
        # From the second on there is memory of the one before, which all of the rest goes to.
        for _ in range(2):
            connection.send(Message("m", {"it": array}, "engine"))
            assert np.array_equal(client.recv_message(SOON).params["it"], array)
        relay.stop_after(500_000)
        sending = threading.Thread(target=send)
        sending.start()
        for timeout in (0.0, 0.01, 0.3):
            begun = time.monotonic()
            with pytest.raises(masep.TimedOut):
                client.recv_message(timeout)
            assert time.monotonic() - begun < SOON / 2
        relay.go_on()
        assert np.array_equal(client.recv_message(SOON).params["it"], array)
        sending.join(SOON)
        relay.stop_after(500_000)
        sending = threading.Thread(target=send)
        sending.start()
        ended = []
        receiving = threading.Thread(target=lambda: ended.append(client.recv_message()))
        receiving.start()
        with relay.may_pass:
            assert relay.may_pass.wait_for(lambda: relay.passed + 16_384 > relay.bound, SOON)
        client.close()
        receiving.join(SOON)
        assert ended == [None]
        relay.go_on()
        sending.join(SOON)
