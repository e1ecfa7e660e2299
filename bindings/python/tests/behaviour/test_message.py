"""Class ``Message``: what threads and hosts say to each other."""

from __future__ import annotations

import dataclasses
import enum
from xml.etree import ElementTree

import pytest


class Observation:
    """As a state or an action of pymasep: it has ``to_xml``."""

    def to_xml(self):
        element = ElementTree.Element("State", name="State")
        ElementTree.SubElement(element, "Object", name='a <"b">').text = "é\n"
        return element


def read(communication, data):
    message = communication.Message("", None, "")
    message.from_bytes(data)
    return message


def same(one, other):
    """True if values are equal and of the same types."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("params", [{"key": 1}, {}, None], ids=repr)
def test_a_message_keeps_what_it_is_made_of(communication, params):
    """``msg_type``, ``param_dict`` (may be None) and ``src_sub_app_id`` are its ``msg_type``, ``params``
    and ``src_sub_app_id``; they can be changed."""
    message = communication.Message(msg_type="action", param_dict=params, src_sub_app_id="agent")
    assert (message.msg_type, message.params, message.src_sub_app_id) == ("action", params, "agent")
    message.msg_type, message.params, message.src_sub_app_id = "quit", {"other": 2}, "agent-2"
    assert message == communication.Message("quit", {"other": 2}, "agent-2")


def test_define_names_the_class_of_the_game(communication):
    """DEFINE has ``game``: the class of the game, by its dotted path."""
    data = communication.Message("define", {"game": ElementTree.ElementTree}, "agent").to_bytes()
    assert b"xml.etree.ElementTree.ElementTree" in data
    assert read(communication, data).params == {"game": ElementTree.ElementTree}


def test_register_tells_who_joins(communication):
    """REGISTER has ``id``, ``queue_id`` and ``role``."""
    params = {"id": "agent", "queue_id": 0, "role": "Actor"}
    data = communication.Message("register", params, "agent").to_bytes()
    assert same(read(communication, data).params, params)


def test_an_observation_has_the_state(communication):
    """OBSERVATION has ``observation``, a state: an object that makes itself XML. It arrives as that
    XML."""
    params = {"observation": Observation(), "additional_information": {"game_log": ["a", "b"]}}
    received = read(communication, communication.Message("observation", params, "engine").to_bytes()).params
    assert ElementTree.tostring(received["observation"]) == ElementTree.tostring(Observation().to_xml())
    assert received["additional_information"] == {"game_log": ["a", "b"]}


@pytest.mark.pymasep_fails("a float arrives as an element, as do None and bytes")
def test_an_observation_has_the_reward(communication):
    """OBSERVATION has ``additional_information``, such as ``game_log`` and ``reward``."""
    params = {"additional_information": {"game_log": "log", "reward": {"agent": 0.5}}}
    data = communication.Message("observation", params, "engine").to_bytes()
    assert same(read(communication, data).params, params)


def test_an_action_is_an_object(communication):
    """ACTION has ``action``, an object that makes itself XML."""
    data = communication.Message("action", {"action": Observation()}, "agent").to_bytes()
    assert read(communication, data).params["action"].tag == "State"


@pytest.mark.parametrize("msg_type", ["end", "quit"])
def test_the_end_has_no_parameters(communication, msg_type):
    """END_GAME and QUIT_GAME have no parameters: None."""
    data = communication.Message(msg_type, None, "engine").to_bytes()
    assert read(communication, data) == communication.Message(msg_type, None, "engine")


VALUES = {
    "int": -5,
    "large int": 10**40,
    "str": "text",
    "empty str": "",
    "markup": "<a href=\"b\">&amp; 'c'",
    "other scripts": "é 漢 \U0001f600",
    "white space": " a\tb\nc ",
    "true": True,
    "list": [1, [2, []]],
    "tuple": (1, ("a",), ()),
    "set": {7},
    "dict": {"a": {"b": {}}},
    "class": ElementTree.ElementTree,
}


@pytest.mark.parametrize("name", VALUES)
def test_parameters_arrive_as_they_are_sent(communication, name):
    """``params`` of the one who receives are those of the one who sends."""
    data = communication.Message("action", {"key": VALUES[name]}, "agent").to_bytes()
    assert same(read(communication, data).params, {"key": VALUES[name]})


def lost(value, how):
    return pytest.param(value, marks=pytest.mark.pymasep_fails(how), id=repr(value))


LOST = [
    lost(False, "False arrives as True"),
    lost(1.5, "a float arrives as an element"),
    lost(None, "None arrives as an element"),
    lost(b"\x00\xff", "bytes arrive as an element"),
    lost("a\r\nb", "a carriage return is lost"),
    lost(dict, "a class of builtins, which has no dotted path, is an error of the one who receives"),
]


@pytest.mark.parametrize("value", LOST)
def test_parameters_that_pymasep_loses_arrive_as_they_are_sent(communication, value):
    """``params`` of the one who receives are those of the one who sends."""
    data = communication.Message("action", {"key": value}, "agent").to_bytes()
    assert same(read(communication, data).params, {"key": value})


def test_to_xml(communication):
    """``to_xml`` gives the XML of the message: an element with its type, its sender and its
    parameters."""
    element = communication.Message("action", {"key": [1]}, "agent").to_xml()
    assert isinstance(element, ElementTree.Element)
    assert (element.tag, element.attrib) == ("Message", {"msg_type": "action", "src_sub_app": "agent"})
    assert element.find("dict/item[@key='key']/list/item/int").text == "1"


def test_from_xml(communication):
    """``from_xml`` makes the message, which exists before, what an element says."""
    sent = communication.Message("action", {"key": (1, "a")}, "agent")
    message = communication.Message("quit", {"other": 1}, "engine")
    assert message.from_xml(xml_node=sent.to_xml()) is None
    assert message == sent


def test_from_xml_of_a_text(communication):
    """An element from elsewhere will do."""
    element = ElementTree.fromstring('<Message msg_type="end" src_sub_app="engine"/>')
    message = communication.Message("", None, "")
    message.from_xml(element)
    assert message == communication.Message("end", None, "engine")


@pytest.mark.parametrize(
    "other", [("quit", {"a": 1}, "agent"), ("action", {"a": 2}, "agent"), ("action", {"a": 1}, "agent-2")]
)
def test_equality(communication, other):
    """``==`` tells whether two messages are equal: in all three attributes."""
    message = communication.Message("action", {"a": 1}, "agent")
    assert message == communication.Message("action", {"a": 1}, "agent")
    assert not message == communication.Message(*other)
    assert message != communication.Message(*other)


@pytest.mark.parametrize("other", [None, "text", b"bytes", {}], ids=repr)
@pytest.mark.pymasep_fails("takes the other for a message and asks for its type: AttributeError")
def test_a_message_equals_nothing_else(communication, other):
    """Nor is a message equal to what is no message; asking is no error."""
    assert not communication.Message("action", None, "agent") == other


def test_a_message_as_text(communication):
    """``str()`` gives a string with the XML of the message."""
    message = communication.Message("action", {"key": "é"}, "agent")
    assert isinstance(str(message), str)
    assert ElementTree.fromstring(str(message)).find("dict/item/str").text == "é"


def test_a_message_as_bytes(communication):
    """``to_bytes`` gives bytes, ``from_bytes`` makes the message, which exists before, what they say."""
    sent = communication.Message("action", {"key": [1, {"a": (2,)}]}, "agent")
    data = sent.to_bytes()
    assert type(data) is bytes
    assert ElementTree.fromstring(data).get("msg_type") == "action"
    message = communication.Message("quit", {"other": 1}, "engine")
    assert message.from_bytes(b=data) is None
    assert message == sent


@pytest.mark.pymasep_fails("an element that was received is sent as the text of its repr")
def test_what_was_received_can_be_sent_on(communication):
    """The bytes of a message that was received are those that came."""
    data = communication.Message("observation", {"observation": Observation()}, "engine").to_bytes()
    assert read(communication, data).to_bytes() == data


def test_what_is_no_message_is_refused(communication):
    """Bytes that are not XML are no message: an exception, and no message made of them."""
    message = communication.Message("action", {"a": 1}, "agent")
    with pytest.raises(Exception):
        message.from_bytes(b"<Message")
    assert message == communication.Message("action", {"a": 1}, "agent")


def test_what_is_sent_is_read_by_the_other_library(communication):
    """The bytes are the same from both libraries."""
    import masep.communication
    import pymasep.communication

    params = {"values": [1, "é<&>", (True, False, None), {"a": 1.5}], "state": Observation()}
    written = {
        library.Message("observation", params, "engine-é").to_bytes()
        for library in (communication, masep.communication, pymasep.communication)
    }
    assert len(written) == 1


@dataclasses.dataclass
class Point:
    x: int = 1


class Colour(enum.Enum):
    RED = 1


class Many(list):
    pass


WITHOUT_A_FORM = [
    Point(),
    Colour.RED,
    Many([1]),
    memoryview(b"ab").toreadonly(),
    bytearray(b"ab"),
    frozenset({1}),
    complex(1, 2),
    range(3),
]


@pytest.mark.filterwarnings("ignore:.*has no form of its own")
@pytest.mark.parametrize("value", WITHOUT_A_FORM, ids=lambda value: type(value).__name__)
def test_objects_without_a_form_are_sent_as_their_text(communication, value):
    """Any other object is sent by the name of its class and its ``str``."""
    data = communication.Message("observation", {"o": value}, "engine").to_bytes()
    element = read(communication, data).params["o"]
    assert (element.tag, element.text) == (type(value).__name__, str(value))
