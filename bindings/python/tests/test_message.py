"""Messages: as pymasep writes and reads them, and what it gets wrong."""

from __future__ import annotations

import copy
import enum
import pickle
import sys
import threading
from xml.etree import ElementTree

import masep
import pytest
from masep.communication import Frame, Message


class Thing:
    def to_xml(self):
        element = ElementTree.Element("Thing", name='a"b')
        ElementTree.SubElement(element, "Part").text = "é < ü"
        return element


class Colour(enum.IntEnum):
    RED = 1


VALUES = {
    "none": None,
    "scalars": {"a": 1, "b": True, "c": "x<y>&z", "d": "", "e": None, "f": 1.5, "g": b"\x00"},
    "large int": {"n": 10**4000},
    "containers": {"l": [1, [2]], "t": (1, "a"), "s": {7}, "d": {"k": {}}, "e": []},
    "text": {"t": "漢\U0001f600\r\n\t\"'"},
    "class": {"c": dict, "d": ElementTree.ElementTree},
    "object": {"o": Thing()},
    "tuple key": {(1, 2): 3},
    "any other object": {"e": Colour.RED, "f": frozenset()},
}


@pytest.mark.filterwarnings("ignore:.*has no form of its own")
@pytest.mark.parametrize("params", VALUES.values(), ids=VALUES)
def test_bytes_are_those_of_pymasep(params):
    import pymasep.communication as pymasep

    theirs = pymasep.Message("action", params, "agent-é").to_bytes()
    assert Message("action", params, "agent-é").to_bytes() == theirs


def decoded(data: bytes) -> Message:
    message = Message("", None, "")
    message.from_bytes(data)
    return message


@pytest.mark.parametrize("name", ["containers", "large int", "tuple key"])
def test_values_come_back_as_in_pymasep(name):
    import pymasep.communication as pymasep

    data = Message("action", VALUES[name], "agent").to_bytes()
    theirs = pymasep.Message("", None, "")
    theirs.from_bytes(data)
    ours = decoded(data)
    assert ours.params == theirs.params
    assert list(ours.params) == list(theirs.params)


@pytest.mark.parametrize("name", ["scalars", "text"])
def test_values_that_pymasep_loses_come_back(name):
    sent = Message("action", VALUES[name], "agent")
    assert decoded(sent.to_bytes()).params == VALUES[name]
    assert decoded(Message("action", {"no": False}, "agent").to_bytes()).params == {"no": False}


def test_elements_are_sent_as_what_they_are():
    element = Thing().to_xml()
    assert Message("action", {"o": element}, "agent").to_bytes() == Message("action", {"o": Thing()}, "agent").to_bytes()


def test_elements_come_back_as_elements_and_can_be_sent_on():
    data = Message("observation", {"o": Thing()}, "engine").to_bytes()
    message = decoded(data)
    element = message.params["o"]
    assert type(element) is ElementTree.Element
    assert element.get("name") == 'a"b'
    assert element.find("Part").text == "é < ü"
    assert message.to_bytes() == data
    element.set("name", "changed")
    assert b"changed" in message.to_bytes()


# Characters that a parser of XML may refuse, or take for something else.
TEXTS = ["a", "\r", "a\rb\r\n", "\t\n ", "\x00", "\x01\x1b", "\x7f\x85\u2028", "\ufffe", "\uffff", "é漢\U0001f600", "]]>", "&#13;\"'<"]


def tree(element: ElementTree.Element) -> tuple[object, ...]:
    """All that is in an element."""
    children = [tree(child) for child in element]
    return element.tag, list(element.attrib.items()), element.text, element.tail, children


@pytest.mark.parametrize("name", ["child", "{urn:x}child"])
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_elements_come_back_with_every_character(text, name):
    element = ElementTree.Element("é", {"b": text, "a": text})
    element.text = text
    child = ElementTree.SubElement(element, name, {"ü": text})
    child.text = child.tail = text
    ElementTree.SubElement(child, "leaf")
    params = decoded(Message("action", {"e": element, "l": [element]}, "agent").to_bytes()).params
    assert tree(params["e"]) == tree(params["l"][0]) == tree(element)


def test_without_parameters_a_message_keeps_its_own():
    message = Message("action", {"k": 1}, "agent")
    message.from_bytes(b'<Message msg_type="end" src_sub_app="engine" />')
    assert message == Message("end", {"k": 1}, "engine")


def test_to_xml_and_from_xml_are_inverse():
    message = Message("action", {"a": [1, (2, "x")]}, "agent")
    other = Message("", None, "")
    other.from_xml(message.to_xml())
    assert other == message
    assert str(message) == message.to_bytes().decode()


def test_messages_are_copied_and_pickled():
    message = decoded(Message("action", {"a": 1}, "agent").to_bytes())
    assert copy.copy(message) == message
    assert pickle.loads(pickle.dumps(message)) == message


def named(name: str) -> bytes:
    return Message("define", {"game": masep.TypeName(name)}, "agent").to_bytes()


def test_a_class_that_is_there_is_found():
    assert decoded(named("xml.etree.ElementTree.ElementTree")).params["game"] is ElementTree.ElementTree
    assert decoded(named("int")).params["game"] is int


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "never_imported.py").write_text("class Game: pass")
    monkeypatch.syspath_prepend(tmp_path)
    message = Message("", {"old": 1}, "")
    with pytest.raises(masep.PeerError) as raised:
        message.from_bytes(named("never_imported.Game"))
    assert raised.value.kind == "unknown_type"
    assert "never_imported" not in sys.modules
    assert message.params == {"old": 1}
    with pytest.raises(masep.PeerError):
        message.from_bytes(named("os.getcwd"))


def test_what_is_allowed_is_imported(tmp_path, monkeypatch):
    (tmp_path / "allowed_game.py").write_text("class Game: pass\nclass Other: pass")
    monkeypatch.syspath_prepend(tmp_path)
    masep.allow_types("allowed_game.Game")
    assert decoded(named("allowed_game.Game")).params["game"].__name__ == "Game"
    with pytest.raises(masep.CallerError):
        masep.allow_types("not a name")


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", "truncated"), (b"<x>", "truncated"), (b"\xff", "encoding"), (b"<Message/>", "missing_attribute")],
)
def test_what_is_no_message_is_the_peers_fault(data, kind):
    with pytest.raises(masep.PeerError) as raised:
        decoded(data)
    assert raised.value.kind == kind
    assert isinstance(raised.value, ValueError)
    assert pickle.loads(pickle.dumps(raised.value)).kind == kind


def test_what_cannot_be_sent_is_the_callers_fault():
    for params in ({1: 2}, {"a": "\ud800"}):
        with pytest.raises(masep.CallerError):
            Message("action", params, "agent").to_bytes()
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(masep.LimitError) as raised:
        Message("action", {"l": endless}, "agent").to_bytes()
    assert (raised.value.limit, raised.value.allowed) == ("nesting depth", 1_024)


def test_frames():
    assert Frame(b"abc").size == 3
    assert Frame(b"abc") == Frame(b"abc") != Frame(b"abd")
    assert Frame.hello_frame("é").message == b"\xc3\xa9"
    assert Frame.bye_frame().message == b"BYE"
    with pytest.raises(TypeError):
        Frame("text")


def test_two_threads_that_look_at_the_parameters_at_once_both_see_them():
    state = ElementTree.Element("State")
    state.extend(ElementTree.Element("x", a=str(number)) for number in range(20))
    data = Message("observation", {"observation": state}, "engine").to_bytes()
    seen = []
    before = sys.getswitchinterval()
    # So that they get in each other's way nearly each time.
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            message = Message("", None, "")
            message.from_bytes(data)
            begin = threading.Barrier(2)

            def look(message=message, begin=begin):
                begin.wait()
                seen.append(message.params)

            looking = [threading.Thread(target=look) for _ in range(2)]
            [thread.start() for thread in looking]
            [thread.join() for thread in looking]
            assert seen[-1] is seen[-2] is message.params
    finally:
        sys.setswitchinterval(before)
    assert None not in seen
    assert len(seen) == 200


def test_parameters_that_cannot_be_had_are_an_error_at_each_look():
    data = masep.Message("action", {"action": 10**1000}, "agent").to_cbor()
    message = masep.Message("", None, "")
    message.from_cbor(data)
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        for _ in range(2):
            with pytest.raises(ValueError, match="digits"):
                _ = message.params
    finally:
        sys.set_int_max_str_digits(before)
    message.params = {"action": 1}
    assert message.params == {"action": 1}
