"""`masep encode` and `masep decode` against the real pymasep, by the vector files."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from pymasep.communication import Message

import wire
from masep import Masep
from notation import canonical, message_to_json
from vectors import HERE, load


def read_by_pymasep(body: bytes) -> Any:
    """A message as the real library reads it."""
    message = Message("", None, "")
    message.from_bytes(body)
    return message_to_json(message)


def differences(cases: list[dict[str, Any]], got: list[Any], expected: list[Any]) -> str:
    """The cases where the two differ, one a line; empty when they are equal."""
    return "\n".join(
        f"{case['name']}: got {str(one)[:300]}, expected {str(other)[:300]}"
        for case, one, other in zip(cases, got, expected, strict=True)
        if one != other
    )


@pytest.fixture(scope="module")
def encodable() -> list[dict[str, Any]]:
    """The messages that pymasep encodes, and masep in the same way."""
    return [case for case in load("encode.jsonl") if "bytes_hex" in case and "deviation" not in case]


def sendable(message: dict[str, Any]) -> dict[str, Any]:
    """The message as it can come back: parameters that are false for Python are not sent at all."""
    params = message["params"]
    return message if params not in (False, 0, "", [], {}, {"$set": []}) else {**message, "params": None}


def test_the_vector_files_are_what_the_installed_pymasep_gives() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vectors.generate", "--check"],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_masep_encodes_byte_for_byte_as_pymasep(masep: Masep, encodable: list[dict[str, Any]]) -> None:
    got = masep.encode([case["message"] for case in encodable])
    assert not differences(encodable, got, [bytes.fromhex(case["bytes_hex"]) for case in encodable])


def test_masep_decodes_all_that_pymasep_encodes_without_loss(masep: Masep, encodable: list[dict[str, Any]]) -> None:
    got = masep.decode([bytes.fromhex(case["bytes_hex"]) for case in encodable])
    assert not differences(
        encodable,
        [canonical(one) for one in got],
        [canonical(sendable(case["message"])) for case in encodable],
    )


def test_pymasep_reads_what_masep_encodes_as_it_reads_its_own(masep: Masep, encodable: list[dict[str, Any]]) -> None:
    readable = [case for case in encodable if "decoded" in case]
    bodies = masep.encode([case["message"] for case in readable])
    assert not differences(
        readable,
        [canonical(read_by_pymasep(body)) for body in bodies],
        [canonical(case["decoded"]) for case in readable],
    )


def test_masep_refuses_to_encode_what_pymasep_refuses(masep: Masep) -> None:
    refused = [case for case in load("encode.jsonl") if "error" in case]
    assert refused
    for case, result in zip(refused, masep.encode([case["message"] for case in refused]), strict=True):
        assert isinstance(result, dict), f"{case['name']}: {result}"
        assert result["kind"] and result["message"], case["name"]


def test_where_masep_encodes_otherwise_on_purpose_pymasep_reads_it(masep: Masep) -> None:
    """pymasep writes a name that is not ASCII as references, which no parser reads, its own included."""
    cases = [case for case in load("encode.jsonl") if "deviation" in case]
    assert cases
    for case, body in zip(cases, masep.encode([case["message"] for case in cases]), strict=True):
        assert "decode_error" in case and body != bytes.fromhex(case["bytes_hex"]), case["name"]
        assert canonical(read_by_pymasep(body)) == canonical(case["message"])


def test_a_line_that_cannot_be_done_does_not_stop_the_rest(masep: Masep) -> None:
    good = {"msg_type": "end", "src_sub_app": "x", "params": None}
    results = masep.encode([good, {"msg_type": 5}, {"$tuple": []}, good])
    assert isinstance(results[0], bytes) and results[0] == results[3]
    assert [result["kind"] for result in results[1:3]]


def test_foreign_xml_is_taken_and_refused_as_pymasep_does(masep: Masep) -> None:
    """Where masep differs on purpose the case names the deviation, and these are held to differ."""
    cases = load("foreign.jsonl")
    got = masep.decode([bytes.fromhex(case["bytes_hex"]) for case in cases])
    wrong = []
    for case, one in zip(cases, got, strict=True):
        expected = canonical(case["decoded"]) if "decoded" in case else "refused"
        read = "refused" if set(one) == {"error"} else canonical(one)
        if (read == expected) == ("deviation" in case):
            wrong.append(
                f"{case['name']}: masep {str(read)[:200]}, pymasep {str(expected)[:200]}, "
                f"deviation {case.get('deviation')}"
            )
    assert not wrong, "\n".join(wrong)


def test_frames_are_what_pymasep_puts_on_the_wire(masep: Masep) -> None:
    """Hellos, BYE, and frames of any content."""
    cases = load("frames.jsonl")
    lines = [
        {"hello": case["id"]}
        if "id" in case
        else {"bye": True}
        if case["name"] == "bye"
        else {"bytes_hex": case["body_hex"]}
        for case in cases
    ]
    assert not differences(cases, masep.encode(lines, "--frame"), [bytes.fromhex(case["frame_hex"]) for case in cases])


def test_messages_in_frames(masep: Masep, encodable: list[dict[str, Any]]) -> None:
    sample = encodable[::25]
    frames = [wire.frame(bytes.fromhex(case["bytes_hex"])) for case in sample]
    assert masep.encode([case["message"] for case in sample], "--frame") == frames
    assert masep.decode(frames, "--frame") == masep.decode([frame[2:] for frame in frames])


def test_a_whole_stream_is_read_from_its_raw_bytes(masep: Masep, encodable: list[dict[str, Any]]) -> None:
    bodies = [bytes.fromhex(case["bytes_hex"]) for case in encodable]
    stream = b"".join(map(wire.frame, ["stream-é".encode(), *bodies, wire.BYE]))
    done = subprocess.run([masep.binary, "decode", "--stream"], input=stream, capture_output=True, check=True)
    hello, *messages, bye = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert (hello, bye) == ({"hello": "stream-é"}, {"bye": True})
    assert messages == masep.decode(bodies)
