"""Class ``BaseThreadedCommunication``: what servers and clients have in common."""

from __future__ import annotations

import logging
import queue
import socket

import pytest


class Recording:
    """In place of a handler: what is sent to it is kept."""

    def __init__(self):
        self.sent = []

    def send_frame_async(self, frame):
        self.sent.append(frame)


def base(communication, **changed):
    arguments = {
        "ident": "both",
        "socket_handler_class": communication.SocketHandlerQueue,
        "socket_handler_args": (queue.Queue(),),
        "host": "127.0.0.1",
        "port": 60_000,
        "log_level": logging.WARNING,
    }
    return communication.BaseThreadedCommunication(**{**arguments, **changed})


def test_it_keeps_what_it_is_made_of(communication):
    """``id``, ``host``, ``port``, ``socket_handler_class`` and ``socket_handler_args`` are those that
    were given."""
    args = (queue.Queue(), "more")
    made = communication.BaseThreadedCommunication(
        "both-é", communication.SocketHandler, args, "localhost", 1_234, "INFO"
    )
    assert (made.id, made.host, made.port) == ("both-é", "localhost", 1_234)
    assert made.socket_handler_class is communication.SocketHandler
    assert made.socket_handler_args is args


def test_it_has_a_socket_for_tcp(communication):
    """``socket``: the one to listen or connect with."""
    made = base(communication)
    assert made.socket.family == socket.AF_INET
    assert made.socket.type == socket.SOCK_STREAM
    made.socket.close()


def test_there_are_no_connections_at_first(communication):
    """``_current_connections`` keeps trace of the connections: none yet."""
    assert base(communication)._current_connections == {}


def test_a_connection_that_was_added_is_found(communication):
    """``add_connection`` adds a handler under the id of the other side; ``get_connection`` gives it,
    ``is_connection_registered`` says whether there is one."""
    made, handler = base(communication), Recording()
    assert made.is_connection_registered("agent") is False
    made.add_connection("agent", handler)
    assert made.is_connection_registered("agent") is True
    assert made.is_connection_registered("other") is False
    assert made.get_connection("agent") is handler
    assert made._current_connections == {"agent": handler}


def test_names_of_the_parameters(communication):
    """All parameters can be given by name."""
    made, handler = base(communication), Recording()
    made.add_connection(ident="agent", sh=handler)
    assert made.is_connection_registered(ident="agent")
    assert made.get_connection(ident="agent") is handler
    made.send_frame_to(ident="agent", frame=communication.Frame(b"hi"))
    assert handler.sent == [communication.Frame(b"hi")]


def test_a_newer_connection_takes_the_place_of_an_older_one(communication):
    """There is one connection for an id: the last that was added."""
    made, handlers = base(communication), [Recording(), Recording()]
    for handler in handlers:
        made.add_connection("agent", handler)
    assert made.get_connection("agent") is handlers[1]


def test_frames_go_to_the_one_who_is_named(communication):
    """``send_frame_to`` sends to the connection of an id, through its handler, and to no other."""
    made, handlers = base(communication), {"one": Recording(), "two": Recording()}
    for ident, handler in handlers.items():
        made.add_connection(ident, handler)
    frame = communication.Frame(b"hi")
    made.send_frame_to("two", frame)
    assert handlers["one"].sent == []
    assert handlers["two"].sent == [frame]


def test_who_is_not_there_cannot_be_sent_to(communication):
    """Without a connection of that id, there is no handler: ``KeyError``."""
    made = base(communication)
    with pytest.raises(KeyError):
        made.get_connection("nobody")
    with pytest.raises(KeyError):
        made.send_frame_to("nobody", communication.Frame(b"hi"))


def test_the_lock_keeps_connections_from_being_changed(communication):
    """``_current_connections_lock`` is free when nobody adds or asks."""
    made = base(communication)
    made.add_connection("agent", Recording())
    assert made._current_connections_lock.acquire(blocking=False)
    made._current_connections_lock.release()


@pytest.mark.parametrize(
    ("level", "number"), [(logging.DEBUG, 10), (logging.ERROR, 40), ("INFO", 20), ("WARNING", 30)]
)
def test_the_level_of_the_log_is_a_text_or_a_number(communication, level, number):
    """``log_level``: the level from which on messages are logged, as str or int."""
    logger = base(communication, log_level=level).logger
    assert isinstance(logger, logging.Logger)
    assert logger.getEffectiveLevel() == number


def test_the_log_is_a_file(communication, directory):
    """The log is ``logs/<class>-<id>.log`` in the current directory."""
    made = base(communication, log_level="INFO")
    made.logger.info("a line of the log")
    made.logger.debug("a line below the level")
    text = (directory / "logs" / "BaseThreadedCommunication-both.log").read_text(encoding="utf-8")
    assert "a line of the log" in text
    assert "below" not in text


def test_each_side_has_its_own_log(ends, directory):
    """Server and client log to files of their own, which exist from the start."""
    ends.conversation()
    assert sorted(path.name for path in (directory / "logs").iterdir()) == ["Client-agent.log", "Server-engine.log"]
