"""Writes the vector files through the real pymasep: `python -m vectors.generate [--check]` in `interop/`.

`encode.jsonl`: `name`; `message` (what to encode); `bytes_hex` (`Message.to_bytes()`) or `error`; `decoded` (what
`Message.from_bytes` makes of these bytes) or `decode_error`: it often differs from `message`, for pymasep reads
less than it writes; `deviation` where masep writes other bytes on purpose.
`foreign.jsonl`: `name`; `bytes_hex`; `decoded` or `error` as above; `deviation` where masep does otherwise on
purpose, by the name that PROTOCOL.md gives it.
`frames.jsonl`: `name`; `body_hex`; `frame_hex` as `SocketHandler.send_frame` puts it on a socket; `id` for a hello.
`sizes/*.xml`: `Message.to_bytes()` of messages of the sizes that are measured.

With `--check` nothing is written; the exit code tells whether the files are what would be written.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
import sys
from collections.abc import Iterator
from typing import Any

from pymasep.application import ConnectedSubAppInfo
from pymasep.communication import Frame, Message, SocketHandler

from lanterns.game import LanternsGame
from notation import message_to_json
from vectors import HERE, foreign, scenes, sizes, values

#: Messages that masep writes otherwise, by the name that PROTOCOL.md gives to it.
DEVIATIONS = {"elements/element/name not ASCII": "names are names"}
TYPES = [
    Message.MESSAGE_TYPE_DEFINE,
    Message.MESSAGE_TYPE_REGISTER,
    Message.MESSAGE_TYPE_OBSERVATION,
    Message.MESSAGE_TYPE_ACTION,
    Message.MESSAGE_TYPE_QUIT_GAME,
    Message.MESSAGE_TYPE_END_GAME,
]


def messages() -> Iterator[tuple[str, Message]]:
    """All messages of `encode.jsonl`."""
    for kind in [*TYPES, "", "no such", "<a&\"'\n>", "ünï🏮"]:
        for name, params in {"none": None, "empty": {}, "one": {"a": 1}}.items():
            yield f"type/{kind!a}/{name}", Message(kind, params, "1")
    for sender in ["", "engine-é", "3f2c-uuid", "a b\tc\nd\re", "<&>\"'", "🏮", "x" * 300]:
        yield f"sender/{sender[:20]!a}", Message("end", None, sender)
    for name, params in {"False": False, "zero": 0, "text": "", "list": [], "set": set()}.items():
        yield f"falsy params/{name}", Message("end", params, "1")
    for role in (ConnectedSubAppInfo.ROLE_ACTOR, ConnectedSubAppInfo.ROLE_OBSERVER):
        yield (
            f"register/{role}",
            Message("register", {"id": "ü-1", "queue_id": 0, "role": role}, "ü-1"),
        )
    yield "define/game", Message("define", {"game": LanternsGame}, "ü-1")
    for subject, cases in values.SUBJECTS.items():
        for name, value in cases():
            yield f"{subject}/{name}", Message("action", {"value": value}, "1")
    for name, params in scenes.observations():
        yield f"scene/{name}", Message("observation", params, "engine-é")
    for name, params in {
        "int key": {"a": {1: 2}},
        "None key": {None: 1},
        "float key": {"a": [{0.5: 1}]},
    }.items():
        yield f"refused/{name}", Message("action", params, "1")


def attempt(line: dict[str, Any], key: str, error_key: str, action: Any) -> Any:
    """Runs `action`; puts its result or its exception into the line; returns the result or None."""
    try:
        result = action()
    except Exception as error:  # whatever pymasep raises is the fact to record
        line[error_key] = type(error).__name__
        return None
    line[key] = result.hex() if isinstance(result, bytes) else message_to_json(result)
    return result


def decoded(body: bytes) -> Message:
    """The message that pymasep reads."""
    message = Message("", None, "")
    message.from_bytes(body)
    # Where a message has no params, pymasep keeps those of the object it reads into: None here.
    return message


def encode_lines() -> Iterator[dict[str, Any]]:
    """`encode.jsonl`."""
    for name, message in messages():
        line = {"name": name, "message": message_to_json(message)}
        if name in DEVIATIONS:
            line["deviation"] = DEVIATIONS[name]
        body = attempt(line, "bytes_hex", "error", message.to_bytes)
        if body is not None:
            attempt(line, "decoded", "decode_error", lambda body=body: decoded(body))
        yield line


def foreign_lines() -> Iterator[dict[str, Any]]:
    """`foreign.jsonl`."""
    for subject, cases in foreign.SUBJECTS.items():
        for name, body, deviation in cases():
            line: dict[str, Any] = {"name": f"{subject}/{name}", "bytes_hex": body.hex()}
            if deviation:
                line["deviation"] = deviation
            attempt(line, "decoded", "error", lambda body=body: decoded(body))
            yield line


def frame_lines() -> Iterator[dict[str, Any]]:
    """`frames.jsonl`."""
    cases = [
        (f"hello/{name}", Frame.hello_frame(name), name)
        for name in [
            "",
            "client",
            "engine-é",
            "漢字🏮",
            "BYE",
            "a\nb\0c",
            "x" * 255,
            "x" * 256,
            "é" * 400,
        ]
    ]
    cases.append(("bye", Frame.bye_frame(), None))
    cases += [(f"body/{size}", Frame(b"z" * size), None) for size in (0, 1, 255, 256, 257, 1000)]
    for kind in TYPES:
        message = Message(kind, {"a": "é"}, "1")
        cases.append((f"message/{kind}", Frame(message.to_bytes()), None))
    for name, frame, ident in cases:
        line = {
            "name": name,
            "body_hex": frame.message.hex(),
            "frame_hex": on_the_wire(frame).hex(),
        }
        yield line if ident is None else {**line, "id": ident}


def on_the_wire(frame: Frame) -> bytes:
    """The bytes that pymasep's handler writes for a frame."""
    here, there = socket.socketpair()
    with here, there:
        SocketHandler(here, "", logging.getLogger()).send_frame(frame)
        here.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: there.recv(65536), b""))


def jsonl(lines: Iterator[dict[str, Any]]) -> str:
    """A file of these lines."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def files() -> Iterator[tuple[str, str]]:
    """All files by their names, as they are to be."""
    yield "encode.jsonl", jsonl(encode_lines())
    yield "foreign.jsonl", jsonl(foreign_lines())
    yield "frames.jsonl", jsonl(frame_lines())
    for name, message in sizes.messages():
        yield f"sizes/{name}.xml", message.to_bytes().decode("ascii")


def main() -> int:
    """Writes the files, or compares them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    wrong = 0
    for name, text in files():
        path, body = HERE / name, text.encode("ascii")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(body)
        elif not path.is_file() or path.read_bytes() != body:
            print(f"{path} is not what pymasep gives now", file=sys.stderr)
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
