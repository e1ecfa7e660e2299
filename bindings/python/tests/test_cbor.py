"""Messages in CBOR through two foreign libraries, with the hooks for tags that they need: `interop/cbor_hooks.py` for cbor2,
and what cbor-x (JavaScript) has written, in `interop/vectors/cbor.jsonl`."""

from __future__ import annotations

import base64
import json
import math

import cbor2
import numpy as np
import pytest
from cbor_hooks import BIG_ENDIAN, dumps, loads
from conftest import INTEROP
from masep import Message
from test_arrays import DTYPES, SHAPES, check_same, filled

PLAIN = [None, True, -(2**64) - 1, 10**4_000, -0.0, math.inf, "é漢🐺\0", b"\0\xff", [1, [2]], (1, ()), {7}, {"b": {}}]


def read(data):
    message = Message("", None, "")
    message.from_cbor(data)
    return message


@pytest.mark.parametrize("dtype", DTYPES)
def test_cbor2_reads_the_arrays_that_masep_writes_and_writes_those_that_it_reads(dtype):
    for shape in SHAPES:
        sent = filled(dtype, shape)
        theirs = loads(Message("action", {"v": [sent]}, "é").to_cbor())
        assert (theirs["type"], theirs["src"]) == ("action", "é")
        (array,) = theirs["params"]["v"]
        assert (array.dtype, array.shape, array.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())
        ours = read(dumps({"src": "é", "params": {"v": sent}, "type": "action", "new": 1}))
        assert (ours.msg_type, ours.src_sub_app_id) == ("action", "é")
        check_same(ours.params["v"], sent)


@pytest.mark.parametrize("value", PLAIN, ids=range(len(PLAIN)))
def test_cbor2_reads_and_writes_what_else_there_is(value):
    theirs = loads(Message("action", {"v": value}, "a").to_cbor())
    assert repr(theirs["params"]["v"]) == repr(value)
    ours = read(dumps({"type": "action", "src": "a", "params": {"v": value}}))
    assert repr(ours.params["v"]) == repr(value)


@pytest.mark.parametrize("tag", BIG_ENDIAN)
def test_arrays_in_the_other_order_of_bytes_are_read(tag):
    array = np.arange(300).astype(BIG_ENDIAN[tag])
    tagged = cbor2.CBORTag(40, [[3, 100], cbor2.CBORTag(tag, array.tobytes())])
    ours = read(cbor2.dumps({"type": "action", "src": "a", "params": {"v": tagged}}))
    check_same(ours.params["v"], array.astype(array.dtype.newbyteorder("=")).reshape(3, 100))


def test_what_cbor_x_has_written_is_read():
    lines = (INTEROP / "vectors" / "cbor.jsonl").read_text(encoding="utf-8").splitlines()
    vectors = [json.loads(line) for line in lines]
    foreign = [vector for vector in vectors if vector["writer"].startswith("cbor-x")]
    arrays = 0
    for vector in foreign:
        expected = vector["message"]["params"]["a"]
        if not isinstance(expected, dict) or "$array" not in expected:
            continue
        array, form = read(bytes.fromhex(vector["bytes_hex"])).params["a"], expected["$array"]
        assert (array.dtype, list(array.shape)) == (form["dtype"], form["shape"])
        assert array.tobytes() == base64.b64decode(form["base64"])
        arrays += 1
    assert arrays >= 9
