"""Protocol 2: what masep writes cbor2 reads, and the other way round, with the hooks in `cbor_hooks.py`."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import cbor2
import cbor_hooks
import numpy as np
import pytest
from cbor_hooks import BIG_ENDIAN, WRITTEN, Element, Type, dumps, loads
from masep import Masep

DTYPES = [*WRITTEN, "bool"]
SHAPES: list[tuple[int, ...]] = [(), (0,), (3,), (2, 3), (2, 0, 3), (1,) * 32]


def array_of(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Items of any bits, NaN with payloads among them."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    bits = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 256, size, np.uint8)
    return np.frombuffer(bits.tobytes(), dtype).reshape(shape)


def form_of(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The array as JSON."""
    data = base64.b64encode(array.tobytes()).decode()
    return {"$array": {"dtype": array.dtype.name, "shape": list(array.shape), "base64": data}}


def message(params: Any) -> dict[str, Any]:
    return {"msg_type": "action", "src_sub_app": "é", "params": params}


PLAIN: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    *((n, {"$int": str(n)}) for n in (2**63, 2**64 - 1, 2**64, -(2**64), -(2**64) - 1, 10**4_300 - 1)),
    (1.5, 1.5),
    (-0.0, -0.0),
    (math.inf, {"$float": "inf"}),
    ("é漢🐺\0", "é漢🐺\0"),
    (b"\0\xff", {"$bytes_hex": "00ff"}),
    ([1, [2]], [1, [2]]),
    ((1, (), "a"), {"$tuple": [1, {"$tuple": []}, "a"]}),
    ({7}, {"$set": [7]}),
    ({(1, "a")}, {"$set": [{"$tuple": [1, "a"]}]}),
    ({"b": 1, "a": {}}, {"b": 1, "a": {}}),
    (Type("m.C"), {"$type": "m.C"}),
    (Element("<a />"), {"$xml": "<a />"}),
    (Element("<a />", "t"), {"$xml": "<a />", "$tail": "t"}),
]
"""Values, and what they are in JSON."""


def same(one: Any, other: Any) -> bool:
    """True if two values are the same down to the sign of a zero."""
    return repr(one) == repr(other)


def test_cbor2_reads_what_masep_writes(masep: Masep) -> None:
    written = masep.encode([message({"v": form}) for _, form in PLAIN], "--protocol", "2")
    for (value, form), data in zip(PLAIN, written, strict=True):
        assert isinstance(data, bytes), (form, data)
        assert same(loads(data), {"type": "action", "src": "é", "params": {"v": value}})


def test_masep_reads_what_cbor2_writes(masep: Masep) -> None:
    written = [dumps({"params": {"v": value}, "src": "é", "new": 1, "type": "action"}) for value, _ in PLAIN]
    read = masep.decode(written, "--full", "--protocol", "2")
    assert same(read, [message({"v": form}) for _, form in PLAIN])


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_numpys(masep: Masep, dtype: str) -> None:
    arrays = [array_of(dtype, shape) for shape in SHAPES]
    messages = [message({"v": form_of(array)}) for array in arrays]
    for array, data in zip(arrays, masep.encode(messages, "--protocol", "2"), strict=True):
        read = loads(data)["params"]["v"]
        assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())
        if array.size:
            begin = data.rindex(array.tobytes())
            assert begin % 8 == 0
    data = [dumps({"type": "action", "src": "é", "params": {"v": array}}) for array in arrays]
    assert masep.decode(data, "--full", "--protocol", "2") == messages


@pytest.mark.parametrize("tag", BIG_ENDIAN)
def test_big_endian_arrays_are_read(masep: Masep, tag: int) -> None:
    array = np.arange(3).astype(BIG_ENDIAN[tag])
    tagged = cbor2.CBORTag(cbor_hooks.ARRAY, [[3], cbor2.CBORTag(tag, array.tobytes())])
    data = cbor2.dumps({"type": "action", "src": "é", "params": {"v": tagged, "alone": tagged.value[1]}})
    (read,) = masep.decode([data], "--full", "--protocol", "2")
    form = form_of(array.astype(array.dtype.newbyteorder("=")))
    assert read == message({"v": form, "alone": form})


def test_nan_arrives_however_it_is_written(masep: Masep) -> None:
    # cbor2 writes it as a float16.
    data = dumps({"type": "action", "src": "é", "params": {"v": math.nan}})
    assert data.endswith(bytes.fromhex("f97e00"))
    assert masep.decode([data], "--full", "--protocol", "2") == [message({"v": {"$float": "nan"}})]
    (data,) = masep.encode([message({"v": {"$float": "nan"}})], "--protocol", "2")
    assert math.isnan(loads(data)["params"]["v"])


def test_what_cbor2_takes_in_silence_is_refused(masep: Masep) -> None:
    twice = bytes.fromhex("a3 6474797065 6161 63737263 6161 66706172616d73 a2 616101 616102")
    assert cbor2.loads(twice)["params"] == {"a": 2}
    indefinite = bytes.fromhex("bf 6474797065 6161 63737263 6161 ff")
    assert cbor2.loads(indefinite) == {"type": "a", "src": "a"}
    read = masep.decode([twice, indefinite], "--full", "--protocol", "2")
    assert [line["error"]["kind"] for line in read] == ["duplicate_key", "cbor"]


def test_cbor2_reads_and_writes_control_messages() -> None:
    """The bytes that masep's own tests hold its control messages against."""
    vectors = (Path(__file__).parent / "vectors" / "control.jsonl").read_text(encoding="utf-8")
    for line in vectors.splitlines():
        vector = json.loads(line)
        data = bytes.fromhex(vector["bytes_hex"])
        assert cbor2.loads(data) == vector["fields"]
        assert cbor2.dumps(vector["fields"]) == data
