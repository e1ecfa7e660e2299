"""``masep.Message`` sends what it is given, or says why not: never its ``str`` in its place."""

from __future__ import annotations

import abc
import collections
import dataclasses
import enum
import pickle

import masep
import masep.aio
import masep.communication
import numpy
import pytest
from masep import Message
from masep._environments.values import to_wire


@dataclasses.dataclass
class Point:
    x: int


class Colour(enum.IntEnum):
    RED = 1


class Lxml:
    """A class with the marks by which an element of lxml is known."""

    nsmap: dict[str, str] = {}


class Game(abc.ABC):
    pass


Pair = collections.namedtuple("Pair", "a b")


def sent(params):
    message = Message("", None, "")
    message.from_bytes(Message("observation", params, "engine").to_bytes())
    return message.params


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        (numpy.int64(-7), -7),
        (numpy.uint64(2**64 - 1), 2**64 - 1),
        (numpy.float64(0.1), 0.1),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), True),
        (numpy.str_("é"), "é"),
        (numpy.bytes_(b"\0a"), b"\0a"),
        (bytearray(b"\0\xff"), b"\0\xff"),
        (memoryview(b"abcd")[::2], b"ac"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_for_a_plain_object_is_sent_as_that(given, arrives):
    params = sent({"direct": given, "inside": [(given, {"k": given})]})
    assert params == {"direct": arrives, "inside": [(arrives, {"k": arrives})]}
    assert type(params["direct"]) is type(arrives)


REFUSED = {
    "ndarray of objects": (numpy.array([object()]), ".tolist()"),
    "ndarray of texts": (numpy.array(["a"]), ".tolist()"),
    "ndarray of complex numbers": (numpy.zeros(2, complex), ".real"),
    "ndarray of dates": (numpy.array(["2026-01-01"], "M8[D]"), ".astype('int64')"),
    "ndarray of longdoubles": (numpy.zeros(2, "g"), ".astype('float64')"),
    "ndarray of records": (numpy.zeros(2, [("a", "i4")]), "each of its fields"),
    "ndarray of the other order of bytes": (numpy.zeros(2, ">i4"), "newbyteorder"),
    "masked ndarray": (numpy.ma.zeros(2), ".filled()"),
    "memoryview of characters": (memoryview(b"ab").cast("c"), "numbers or bools"),
    "longdouble": (numpy.longdouble(1), ".astype('float64')"),
    "date of numpy": (numpy.datetime64("2026-01-01"), ".astype('int64')"),
    "time of numpy": (numpy.datetime64("2026-01-01T00:00:00", "ns"), ".astype('int64')"),
    "span of numpy": (numpy.timedelta64(5, "ns"), ".astype('int64')"),
    "ndarray of spans": (numpy.zeros(2, "m8[ns]"), ".astype('int64')"),
    "record of numpy": (numpy.zeros(2, [("a", "i4"), ("b", "f8")])[0], "each of its fields"),
    "raw bytes of numpy": (numpy.void(b"abc"), ".tobytes()"),
    "ndarray of raw bytes": (numpy.zeros(2, "V3"), ".tobytes()"),
    "complex of numpy": (numpy.complex128(1), ".real"),
    "dataclass": (Point(1), "dataclasses.asdict()"),
    "enum": (Colour.RED, ".value"),
    "lxml": (Lxml(), "xml.etree.ElementTree.fromstring"),
    "object": (object(), "to_xml()"),
    "subclass of dict": (collections.OrderedDict(a=1), "dict()"),
    "subclass of str": (type("Text", (str,), {})("a"), "str()"),
    "named tuple": (Pair(1, 2), "tuple()"),
    "frozenset": (frozenset({1}), "set()"),
    "range": (range(3), "plain objects"),
    "class with a metaclass": (Game, "masep.TypeName('test_strict_messages.Game')"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_with_its_place_and_with_advice(name):
    given, advice = REFUSED[name]
    for params, place in (
        (given, "params"),
        ({"o": given}, "params['o']"),
        ({"o": {"x": [0, 1, (2, given)]}}, "params['o']['x'][2][1]"),
    ):
        message = Message("observation", params, "engine")
        for call in (message.to_bytes, message.to_xml, lambda: str(message)):
            with pytest.raises(masep.CallerError) as raised:
                call()
            kind = type(given)
            assert str(raised.value).startswith(f"{place} is of {kind.__module__}.{kind.__qualname__}"), raised.value
            assert advice in str(raised.value)
    if isinstance(given, numpy.generic):
        # An environment may have it in an info.
        with pytest.raises(masep.CallerError, match=f"of {kind.__module__}.{kind.__qualname__}"):
            Message("step", {"info": to_wire({"o": given})}, "engine").to_cbor()


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"o": {"k": {(1, 2): 3}}}, "params['o']['k']: "),
        ({"o": [0, {1: 2}]}, "params['o'][1]: "),
        ({"o": ["\ud800"]}, "params['o'][0]: "),
        ({"o": [0, {"\ud800": 1}]}, "params['o'][1]: "),
        ({"o": [10**5000]}, "params['o'][0]: "),
        ({"s": {frozenset()}}, "params['s']{...} is of "),
    ],
    ids=["key", "key in a list", "text", "text of a key", "int", "member of a set"],
)
def test_all_that_cannot_be_sent_is_refused_with_its_place(params, place):
    with pytest.raises(masep.CallerError) as raised:
        Message("observation", params, "engine").to_bytes()
    assert str(raised.value).startswith(place)


@pytest.mark.parametrize("params", [0, False, "", [], [1], numpy.zeros(0), numpy.zeros(2)], ids=ascii)
def test_parameters_that_are_no_dict_are_not_lost(params):
    with pytest.raises(masep.CallerError, match="^params is "):
        Message("observation", params, "engine").to_bytes()
    assert sent({}) is sent(None) is None


def test_a_refused_message_is_not_sent_and_ends_nothing():
    with (
        masep.Server("engine", "127.0.0.1:0") as server,
        masep.connect(server.target, id="agent", protocol=1) as agent,
    ):
        engine = server.accept(10)
        with pytest.raises(masep.UnsupportedError, match=r"params\['o'\]: .*\.tolist\(\)") as raised:
            engine.send(Message("observation", {"o": numpy.zeros(3)}, "engine"))
        assert (raised.value.peer, raised.value.protocol) == ("agent", 1)
        assert '"agent" speaks pymasep' in str(raised.value)
        engine.send(Message("observation", {"o": numpy.zeros(3).tolist()}, "engine"))
        received = agent.recv_message(10)
        assert received == Message("observation", {"o": [0.0, 0.0, 0.0]}, "engine")
        assert type(received) is Message


@pytest.mark.filterwarnings("ignore:.*has no form of its own")
def test_messages_that_are_received_are_sent_on_as_they_are():
    foreign = masep.communication.Message("observation", {"o": numpy.arange(2)}, "engine").to_bytes()
    message = Message("", None, "")
    message.from_bytes(foreign)
    assert message.params["o"].tag == "ndarray"
    assert message.to_bytes() == foreign
    assert pickle.loads(pickle.dumps(message)).to_bytes() == foreign


def test_what_both_messages_can_send_is_the_same():
    params = {"a": [1, (2.5, "x"), {3}], "b": {"k": b"\0", "t": dict}, "n": None}
    theirs = masep.communication.Message("observation", params, "engine")
    ours = Message("observation", params, "engine")
    assert ours.to_bytes() == theirs.to_bytes()
    assert ours == theirs
