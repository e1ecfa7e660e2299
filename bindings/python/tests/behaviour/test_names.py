"""The names, parameters, defaults, constants and attributes of all classes, and what they derive from."""

from __future__ import annotations

import importlib
import inspect
import logging
import queue
import socket
import threading

import pytest

REQUIRED = inspect.Parameter.empty

PARAMETERS = {
    "Message": {"msg_type": REQUIRED, "param_dict": REQUIRED, "src_sub_app_id": REQUIRED},
    "Message.to_xml": {},
    "Message.from_xml": {"xml_node": REQUIRED},
    "Message.__eq__": {"other": REQUIRED},
    "Message.__str__": {},
    "Message.to_bytes": {},
    "Message.from_bytes": {"b": REQUIRED},
    "Frame": {"msg": REQUIRED},
    "Frame.__eq__": {"other": REQUIRED},
    "Frame.hello_frame": {"ident": REQUIRED},
    "Frame.bye_frame": {},
    "BaseThreadedCommunication": {
        "ident": REQUIRED,
        "socket_handler_class": REQUIRED,
        "socket_handler_args": REQUIRED,
        "host": REQUIRED,
        "port": REQUIRED,
        "log_level": REQUIRED,
    },
    "BaseThreadedCommunication.add_connection": {"ident": REQUIRED, "sh": REQUIRED},
    "BaseThreadedCommunication.get_connection": {"ident": REQUIRED},
    "BaseThreadedCommunication.is_connection_registered": {"ident": REQUIRED},
    "BaseThreadedCommunication.send_frame_to": {"ident": REQUIRED, "frame": REQUIRED},
    "Server": {
        "ident": REQUIRED,
        "max_connection": REQUIRED,
        "socket_handler_class": REQUIRED,
        "socket_handler_args": REQUIRED,
        "host": REQUIRED,
        "port": REQUIRED,
        "wait_announcement": False,
        "log_level": logging.WARNING,
    },
    "Server.__del__": {},
    "Server.wait_connection": {},
    "Server.stop_wait_connection": {},
    "Server.wait_announcement": {},
    "Server.stop_wait_announcement": {},
    "Client": {
        "ident": REQUIRED,
        "socket_handler_class": REQUIRED,
        "socket_handler_args": REQUIRED,
        "host": None,
        "port": None,
        "log_level": logging.WARNING,
    },
    "Client.__del__": {},
    "Client.connect": {},
    "Client.search_server": {},
    "SocketHandler": {"conn": REQUIRED, "addr": REQUIRED, "logger": REQUIRED},
    "SocketHandler.__del__": {},
    "SocketHandler.send_frame": {"frame": REQUIRED},
    "SocketHandler.receive_frame": {},
    "SocketHandler.send_frame_async": {"frame": REQUIRED},
    "SocketHandler.on_receive": {"frame": REQUIRED},
    "SocketHandler.run": {},
    "SocketHandlerQueue": {"conn": REQUIRED, "addr": REQUIRED, "logger": REQUIRED, "queue": REQUIRED},
    "SocketHandlerQueue.on_receive": {"frame": REQUIRED},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(communication, name):
    """Each class and method takes the parameters of these names, in this order, with these defaults; by
    place or by name."""
    class_name, _, method = name.partition(".")
    found = getattr(communication, class_name)
    is_class_method = method and isinstance(inspect.getattr_static(found, method), classmethod)
    parameters = inspect.signature(getattr(found, method) if method else found).parameters
    # Of a function that is no class method, the first is the instance.
    taken = list(parameters.values())[1 if method and not is_class_method else 0 :]
    assert [(one.name, one.default) for one in taken] == list(PARAMETERS[name].items())
    assert all(one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for one in taken)


BASES = {
    "Server": "BaseThreadedCommunication",
    "Client": "BaseThreadedCommunication",
    "SocketHandlerQueue": "SocketHandler",
}


@pytest.mark.parametrize("name", BASES)
def test_bases(communication, name):
    """A class derives from the one that is named as its base."""
    assert issubclass(getattr(communication, name), getattr(communication, BASES[name]))


def test_a_handler_is_a_thread(communication):
    """``SocketHandler`` derives from ``threading.Thread``."""
    assert issubclass(communication.SocketHandler, threading.Thread)


@pytest.mark.parametrize("name", ["hello_frame", "bye_frame"])
def test_frames_are_made_by_class_methods(communication, name):
    """``hello_frame`` and ``bye_frame`` are class methods."""
    assert isinstance(inspect.getattr_static(communication.Frame, name), classmethod)


CONSTANTS = {
    "MESSAGE_TYPE_DEFINE": "define",
    "MESSAGE_TYPE_OBSERVATION": "observation",
    "MESSAGE_TYPE_ACTION": "action",
    "MESSAGE_TYPE_QUIT_GAME": "quit",
    "MESSAGE_TYPE_REGISTER": "register",
    "MESSAGE_TYPE_END_GAME": "end",
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_types_of_messages(communication, name):
    """``Message`` has a constant for each type of message; an instance has it too."""
    assert getattr(communication.Message, name) == CONSTANTS[name]
    assert getattr(communication.Message(CONSTANTS[name], None, "agent"), name) == CONSTANTS[name]


@pytest.mark.parametrize("name", [name for name in PARAMETERS if "." not in name])
def test_modules(communication, name):
    """Each class is in a module of its own too, named as the class."""
    words = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).strip("_")
    module = importlib.import_module(f"{communication.__name__}.{words}")
    assert getattr(module, name) is getattr(communication, name)


COMMUNICATION = {
    "id": str,
    "host": str,
    "port": int,
    "socket": socket.socket,
    "logger": logging.Logger,
    "socket_handler_class": type,
    "socket_handler_args": tuple,
    "_current_connections": dict,
    "_current_connections_lock": type(threading.Lock()),
}

HANDLER = {
    "lock": type(threading.Lock()),
    "logger": logging.Logger,
    "socket": socket.socket,
    "send_queue": queue.Queue,
    "r_sock": socket.socket,
    "s_sock": socket.socket,
}


def check(one, attributes):
    found = {name: getattr(one, name) for name in attributes}
    wrong = {name: value for name, value in found.items() if not isinstance(value, attributes[name])}
    assert wrong == {}


def test_attributes_of_messages_and_frames(communication):
    """A message has ``msg_type``, ``params``, ``src_sub_app_id``; a frame ``size`` and ``message``."""
    message = communication.Message("action", {}, "agent")
    check(message, {"msg_type": str, "params": dict, "src_sub_app_id": str})
    check(communication.Frame(b"hi"), {"size": int, "message": bytes})


def test_attributes_of_both_sides(communication, ends):
    """A server has those of ``BaseThreadedCommunication``, ``max_connection`` and
    ``wait_connection_thread``; a client those and ``server_id``; a handler its own, and that of a queue
    ``receive_queue``."""
    server, client = ends.conversation()
    check(server, {**COMMUNICATION, "max_connection": int, "wait_connection_thread": threading.Thread})
    check(client, {**COMMUNICATION, "server_id": str})
    for handler in (server.get_connection("agent"), client.get_connection("engine")):
        check(handler, {**HANDLER, "receive_queue": queue.Queue})
