"""The byte examples of PROTOCOL.md hold for the real pymasep.

Section 13 of PROTOCOL.md says how they are written. That they hold for masep too is tested by
`crates/masep-proto/tests/protocol/protocol_md.rs`.
"""

from __future__ import annotations

import builtins
import importlib
import json
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from pymasep.communication import Frame, Message, SocketHandler

from notation import canonical, message_to_json

PROTOCOL = Path(__file__).resolve().parent.parent / "PROTOCOL.md"
VECTORS = Path(__file__).resolve().parent / "vectors"

Example = dict[str, str]


def examples(*kinds: str) -> list[Any]:
    """The records of all blocks of these kinds, each as a parameter of a test."""
    found = []
    for block in re.finditer(r"^```example (\w+)\n(.*?)^```$", PROTOCOL.read_text("utf-8"), re.M | re.S):
        for record in block[2].split("\n\n") if block[1] in kinds else []:
            lines = re.sub(r"\n +", "", record.strip()).splitlines()
            example = dict(re.split(r" +", line, maxsplit=1) for line in lines)
            name = example.get("value") or example.get("message") or example.get("id") or lines[0]
            found.append(pytest.param(example, id=f"{block[1]} {name!a}"[:60]))
    assert found, f"PROTOCOL.md has no example {kinds}"
    return found


def hexadecimal(example: Example) -> bytes:
    return bytes.fromhex(example["hex"])


def document(example: Example) -> bytes:
    """The message of the example, or the one that its value is put into."""
    text = example.get("document") or example.get("xml")
    body = text.encode() if text else hexadecimal(example)
    if "document" in example or body.startswith(b"<Message"):
        return body
    return b'<Message msg_type="action" src_sub_app="s"><dict><item key="v">' + body + b"</item></dict></Message>"


def message(example: Example, key: str = "value") -> Any:
    """The message of the example as JSON, or one with the value in it."""
    given = json.loads(example.get(key) or example["message"])
    if isinstance(given, dict) and "msg_type" in given:
        return given
    return {"msg_type": "action", "src_sub_app": "s", "params": {"v": given}}


class Sent:
    """An object that pymasep sends as this element."""

    def __init__(self, element: Element) -> None:
        self.element = element

    def to_xml(self) -> Element:
        """The element for which pymasep asks."""
        return self.element


def from_json(value: Any) -> Any:
    """The Python value that the notation stands for."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag, content = next(iter(value.items()), ("", None))
    readers = {
        "$int": int,
        "$float": float,
        "$bytes_hex": bytes.fromhex,
        "$tuple": lambda items: tuple(from_json(items)),
        "$set": lambda items: set(from_json(items)),
        "$type": class_of,
        "$xml": lambda xml: Sent(fromstring(xml)),
    }
    if tag in readers:
        return readers[tag](content)
    return {key: from_json(item) for key, item in value.items()}


def class_of(name: str) -> type:
    module, _, name = name.rpartition(".")
    return getattr(builtins if module == "builtins" else importlib.import_module(module), name)


@pytest.mark.parametrize("example", examples("encode", "write"))
def test_pymasep_writes_it_so(example: Example) -> None:
    given = message(example)
    written = Message(given["msg_type"], from_json(given["params"]), given["src_sub_app"]).to_bytes()
    assert written == document(example)


@pytest.mark.parametrize("example", examples("encode", "read"))
def test_pymasep_reads_it_so(example: Example) -> None:
    read = Message(None, None, "reader")
    expected = example.get("pymasep") or ("error" if "error" in example else None)
    if expected == "error":
        with pytest.raises(Exception):  # noqa: B017  pymasep has no error of its own
            read.from_bytes(document(example))
        return
    read.from_bytes(document(example))
    if expected is None:
        wanted = message(example)
    else:
        assert expected != example.get("value"), "the line pymasep says nothing"
        wanted = message(example, "pymasep")
    assert canonical(message_to_json(read)) == canonical(wanted)


@pytest.mark.parametrize("example", examples("frame", "hello"))
def test_pymasep_sends_the_frame_so(example: Example) -> None:
    frame = (
        Frame.hello_frame(json.loads(example["id"])) if "id" in example else Frame(json.loads(example["body"]).encode())
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        logger: Any = SimpleNamespace(debug=lambda *_: None)
        SocketHandler(theirs, "here", logger).send_frame(frame)
        theirs.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: ours.recv(65536), b""))
    assert received == hexadecimal(example)


def test_the_deviations_that_vectors_name_are_in_protocol_md() -> None:
    vectors = (line for file in VECTORS.glob("*.jsonl") for line in file.read_text("utf-8").splitlines())
    names = {json.loads(line).get("deviation") for line in vectors} - {None}
    listed = PROTOCOL.read_text("utf-8")
    assert names and not [name for name in names if f"**{name}**" not in listed]
