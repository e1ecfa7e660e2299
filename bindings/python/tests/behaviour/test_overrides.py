"""Subclasses: each method that a program overrides is called where its base class calls it."""

from __future__ import annotations

import functools
import queue
import select
import socket
import threading
from xml.etree import ElementTree

import pytest

from behaviour.ends import LOGGER, SOON, exactly
from behaviour.process import in_its_own_process


def calls(of, names, log):
    """A subclass that notes each call of these methods, with the frame if there is one."""

    def noting(name):
        def method(self, *args, **by_name):
            result = getattr(super(noted, self), name)(*args, **by_name)
            found = next((one for one in [*args, *by_name.values(), result] if hasattr(one, "message")), None)
            log.put((name, found.message) if found is not None else (name,))
            return result

        return method

    noted = type(f"Noted{of.__name__}", (of,), {name: noting(name) for name in names})
    return noted


def taken(log, count):
    return [log.get(timeout=SOON) for _ in range(count)]


HANDLER = ["send_frame", "receive_frame", "on_receive", "send_frame_async"]


def test_the_client_says_hello_through_its_handler(communication, ends):
    """The hello of a client is sent by ``send_frame`` and that of its server received by
    ``receive_frame``."""
    log = queue.Queue()
    server = ends.waiting()
    ends.client(server, "agent", calls(communication.SocketHandlerQueue, HANDLER, log))
    assert taken(log, 2) == [("send_frame", b"agent"), ("receive_frame", b"engine")]


def test_the_server_says_hello_through_its_handler(communication, ends):
    """The hello of a client is received by ``receive_frame`` and answered by ``send_frame``."""
    log = queue.Queue()
    server = ends.waiting(calls(communication.SocketHandlerQueue, HANDLER, log), (queue.Queue(),))
    ends.client(server, "agent")
    assert taken(log, 2) == [("receive_frame", b"agent"), ("send_frame", b"engine")]


def test_each_frame_goes_through_the_methods_of_both_handlers(communication, ends):
    """``send_frame_async`` has ``send_frame`` send; what arrives comes from ``receive_frame`` and goes to
    ``on_receive``. A BYE too, but for ``on_receive``."""
    heard, said = queue.Queue(), queue.Queue()
    server = ends.waiting(calls(communication.SocketHandlerQueue, HANDLER, heard), (queue.Queue(),))
    client = ends.client(server, "agent", calls(communication.SocketHandlerQueue, HANDLER, said))
    taken(heard, 2), taken(said, 2)
    for body in (b"one", b"two"):
        ends.say(client, body)
        assert sorted(taken(said, 2)) == [("send_frame", body), ("send_frame_async", body)]
        assert taken(heard, 2) == [("receive_frame", body), ("on_receive", body)]
    ends.say(client, b"BYE")
    assert sorted(taken(said, 2)) == [("send_frame", b"BYE"), ("send_frame_async", b"BYE")]
    assert taken(heard, 1) == [("receive_frame", b"BYE")]


def mirrored(communication):
    """A handler that changes all bytes on their way, as one that encrypts does."""

    def other(frame):
        return communication.Frame(bytes(byte ^ 0xFF for byte in frame.message))

    class Mirrored(communication.SocketHandlerQueue):
        def send_frame(self, frame):
            super().send_frame(other(frame))

        def receive_frame(self):
            return other(super().receive_frame())

    return Mirrored


def test_frames_may_be_changed_on_their_way(communication, ends):
    """An override that changes what is sent, and one that changes it back: the hellos are in it, so ids
    are understood, and a BYE, which ends both threads."""
    handler = mirrored(communication)
    server = ends.waiting(handler, (queue.Queue(),), ident="engine-é")
    client = ends.client(server, "agent-漢", handler)
    assert client.server_id == "engine-é"
    ends.say(client, b"hi")
    assert ends.heard(server) == b"hi"
    server.send_frame_to("agent-漢", communication.Frame(b"hi back"))
    assert ends.heard(client) == b"hi back"
    ends.say(client, b"BYE")
    for handler in (client.get_connection("engine-é"), server.get_connection("agent-漢")):
        handler.join(SOON)
        assert not handler.is_alive()


def test_the_bytes_are_those_of_the_override(communication, ends):
    """On the wire is what the override makes of it, from the first frame on."""
    server = ends.waiting(mirrored(communication), (queue.Queue(),))
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.settimeout(SOON)
        peer.sendall(b"\x02\x00" + bytes(byte ^ 0xFF for byte in b"ag"))
        assert exactly(peer, 8) == b"\x06\x00" + bytes(byte ^ 0xFF for byte in b"engine")
        peer.sendall(b"\x03\x00" + bytes(byte ^ 0xFF for byte in b"BYE"))


def test_a_method_of_an_object(communication, sockets):
    """An attribute of the object overrides too."""
    near, far = sockets
    handler, sent = communication.SocketHandler(near, "address", LOGGER), queue.Queue()
    handler.send_frame = sent.put
    handler.start()
    handler.send_frame_async(communication.Frame(b"hi"))
    assert sent.get(timeout=SOON) == communication.Frame(b"hi")
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)


def test_methods_that_use_the_socket_themselves(communication, ends):
    """``socket`` is the one to communicate with: an override may read and write it."""

    class Own(communication.SocketHandlerQueue):
        def send_frame(self, frame):
            self.socket.sendall(frame.size.to_bytes(2, "little") + frame.message)

        def receive_frame(self):
            size = int.from_bytes(exactly(self.socket, 2), "little")
            return communication.Frame(exactly(self.socket, size))

    server = ends.waiting(Own, (queue.Queue(),))
    client = ends.client(server, "agent", Own)
    for number in range(20):
        ends.say(client, b"%d" % number)
        assert ends.heard(server) == b"%d" % number
    server.send_frame_to("agent", communication.Frame(b"hi back"))
    assert ends.heard(client) == b"hi back"


def test_a_peer_that_ends_while_bye_is_being_sent(communication, sockets):
    """An end that ``BYE`` brings about is in order, also when it comes before ``send_frame`` returns."""
    near, far = sockets

    class Own(communication.SocketHandlerQueue):
        def send_frame(self, frame):
            self.socket.sendall(frame.size.to_bytes(2, "little") + frame.message)
            assert exactly(far, 5) == b"\x03\x00BYE"
            far.close()
            if communication.__name__.startswith("masep"):
                # pymasep's thread reads the end without end; ours has met it.
                assert met.wait(SOON)

        def receive_frame(self):
            try:
                size = int.from_bytes(exactly(self.socket, 2), "little")
                return communication.Frame(exactly(self.socket, size))
            except AssertionError:
                met.set()
                if not communication.__name__.startswith("masep"):
                    return communication.Frame(b"BYE")
                raise

    met = threading.Event()
    handler = Own(near, "address", LOGGER, queue.Queue())
    handler.start()
    handler.send_frame_async(communication.Frame(b"BYE"))
    handler.join(SOON)
    assert not handler.is_alive()


def test_a_handler_that_is_made_by_a_function(communication, ends):
    """The class of handlers may be anything that makes one when it is called."""
    made = functools.partial(communication.SocketHandlerQueue, queue=queue.Queue())
    server = ends.waiting(made, ())
    client = ends.client(server, "agent", made, ())
    ends.say(client, b"hi")
    assert made.keywords["queue"].get(timeout=SOON) == b"hi"


def test_connections_are_added_and_got_by_the_methods_of_both_sides(communication, ends):
    """``add_connection`` is called for each connection, ``send_frame_to`` asks ``get_connection``."""
    log = queue.Queue()
    names = ["add_connection", "get_connection"]

    class Kept:
        Server = calls(communication.Server, names, log)
        Client = calls(communication.Client, names, log)

    server = Kept.Server("engine", 5, communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", 0)
    server.port = server.socket.getsockname()[1]
    server.wait_connection()
    client = Kept.Client("agent", communication.SocketHandlerQueue, (queue.Queue(),), "127.0.0.1", server.port)
    ends.owns(client)
    client.connect()
    assert taken(log, 2) == [("add_connection",), ("add_connection",)]
    ends.say(client, b"hi")
    assert taken(log, 1) == [("get_connection",)]
    assert ends.heard(server) == b"hi"
    server.stop_wait_connection()
    server.wait_connection_thread.join(SOON)


@pytest.mark.pymasep_fails("greets one peer after the other")
@in_its_own_process
def test_a_mute_peer_holds_up_nobody(ends):
    """Also where ``receive_frame`` is overridden, a server serves one while another says nothing."""
    handler = calls(ends.communication.SocketHandlerQueue, HANDLER, queue.Queue())
    server = ends.waiting(handler, (queue.Queue(),))
    with socket.create_connection(("127.0.0.1", server.port)):
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.settimeout(SOON / 2)
            peer.sendall(b"\x05\x00agent")
            assert exactly(peer, 8) == b"\x06\x00engine"


def test_the_pair_of_sockets_that_wakes_a_thread(communication, sockets):
    """A handler has ``r_sock`` and ``s_sock``, two ends of a connection: as described where the
    documentation of ``send_frame_async`` points."""
    handler = communication.SocketHandler(sockets[0], "address", LOGGER)
    assert (type(handler.r_sock.fileno()), type(handler.s_sock.fileno())) == (int, int)
    handler.s_sock.send(b"x")
    handler.r_sock.settimeout(SOON)
    assert handler.r_sock.recv(1) == b"x"
    handler.__del__()
    assert handler.r_sock.fileno() == handler.s_sock.fileno() == -1


def test_a_frame_that_is_queued_by_hand_is_sent_when_the_thread_is_woken(communication, sockets):
    """``send_queue`` has what waits; a byte through ``s_sock`` wakes the thread that sends it."""
    near, far = sockets

    class Queueing(communication.SocketHandler):
        def send_frame_async(self, frame):
            self.send_queue.put(frame)
            self.s_sock.send(b"\0")

    handler = Queueing(near, "address", LOGGER)
    handler.start()
    for body in (b"one", b"two"):
        handler.send_frame_async(communication.Frame(body))
        assert exactly(far, 5) == b"\x03\x00" + body
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)


def test_a_run_of_its_own(communication, sockets):
    """``run`` may be replaced as a whole, by one that waits for the socket and for ``r_sock``."""
    near, far = sockets

    class Running(communication.SocketHandlerQueue):
        def run(self):
            while True:
                ready, _, _ = select.select([self.socket, self.r_sock], [], [])
                if self.r_sock in ready:
                    self.r_sock.recv(1)
                    self.send_frame(self.send_queue.get())
                if self.socket in ready:
                    frame = self.receive_frame()
                    if frame == communication.Frame.bye_frame():
                        return
                    self.on_receive(frame)

    handler = Running(near, "address", LOGGER, queue.Queue())
    handler.start()
    for body in (b"one", b"two"):
        handler.send_frame_async(communication.Frame(body))
        assert exactly(far, 5) == b"\x03\x00" + body
        far.sendall(b"\x03\x00" + body)
        assert handler.receive_queue.get(timeout=SOON) == body
    far.sendall(b"\x03\x00BYE")
    handler.join(SOON)
    assert not handler.is_alive()


def spelling(communication):
    """A message that is written in a form of its own."""

    class Message(communication.Message):
        def to_xml(self):
            return ElementTree.Element("spelled", what=self.msg_type, by=self.src_sub_app_id)

        def from_xml(self, xml_node):
            self.msg_type, self.src_sub_app_id = xml_node.get("what"), xml_node.get("by")

    return Message


def test_a_message_reads_its_bytes_by_from_xml(communication):
    """``from_bytes`` calls ``from_xml`` with the element."""
    message = spelling(communication)("", None, "")
    message.from_bytes(b'<spelled what="action" by="agent"/>')
    assert (message.msg_type, message.src_sub_app_id) == ("action", "agent")


def test_a_message_is_written_by_to_xml(communication):
    """``to_bytes`` and ``str()`` give what ``to_xml`` says."""
    message = spelling(communication)("action", None, "agent")
    written = b'<spelled what="action" by="agent" />'
    assert message.to_bytes() == written
    assert str(message) == written.decode()


def test_a_message_extends_from_xml(communication):
    """A ``from_xml`` that calls that of its base class, and looks at more."""

    class Stamped(communication.Message):
        def to_xml(self):
            element = super().to_xml()
            element.set("stamp", "7")
            return element

        def from_xml(self, xml_node):
            super().from_xml(xml_node)
            self.stamp = int(xml_node.get("stamp"))

    message = Stamped("", None, "")
    message.from_bytes(Stamped("action", {"a": [1]}, "agent").to_bytes())
    assert (message.msg_type, message.params, message.stamp) == ("action", {"a": [1]}, 7)


def test_str_is_the_xml_whatever_to_bytes_is(communication):
    """``str()`` gives the XML, also where ``to_bytes`` is overridden."""

    class Packed(communication.Message):
        def to_bytes(self):
            return b"packed"

    assert ElementTree.fromstring(str(Packed("end", None, "engine"))).get("msg_type") == "end"


def test_a_method_of_a_message_object(communication):
    """An attribute of the object overrides too."""
    message = communication.Message("end", None, "engine")
    message.to_xml = lambda: ElementTree.Element("other")
    assert message.to_bytes() == b"<other />"
    seen = []
    message.from_xml = lambda xml_node: seen.append(xml_node)
    message.from_bytes(b"<a><b /></a>")
    assert [ElementTree.tostring(element) for element in seen] == [b"<a><b /></a>"]
