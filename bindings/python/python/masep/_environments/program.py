"""The parts that the programs ``python -m masep.gymnasium`` and ``python -m masep.pettingzoo`` share."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .serving import EnvironmentServer


_AS_JSON = {"True": "true", "False": "false", "None": "null"}


def argument(text: str) -> tuple[str, Any]:
    """An argument of an environment, ``NAME=JSON``. Anything but JSON is a text, unless it is a word of Python's, which
    would be true as a text whatever it says.

    :raises ArgumentTypeError: if it is none
    """
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r:.100} is not NAME=JSON")
    try:
        return name, json.loads(value)
    except ValueError:
        if value in _AS_JSON:
            raise argparse.ArgumentTypeError(
                f"{value} is not JSON: write {name}={_AS_JSON[value]}, or {name}='\"{value}\"' for the text"
            ) from None
        return name, value


def end_by_signal(number: int, frame: object) -> None:
    """A handler by which a signal ends the program as Ctrl-C does."""
    raise KeyboardInterrupt


def add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of all that serves environments."""
    command.add_argument(
        "address", help="HOST:PORT (port 0 takes a free one; in TLS with --tls-cert) or unix:///PATH"
    )
    command.add_argument(
        "--arg",
        type=argument,
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="an argument of each environment, such as is_slippery=false; can be given several times",
    )
    command.add_argument(
        "--drop-formless",
        action="store_true",
        help="leave out objects of infos that cannot be sent, which are errors otherwise",
    )
    command.add_argument(
        "--tls-cert", metavar="FILE", help="the server's certificate in PEM, then those above it"
    )
    command.add_argument("--tls-key", metavar="FILE", help="the key of the certificate")
    command.add_argument(
        "--tls",
        choices=["require", "allow", "off"],
        help="whether clients have to use TLS (default require, with a certificate)",
    )
    command.add_argument(
        "--tokens",
        metavar="FILE",
        help="access tokens, of which each client says one, in TLS or on a Unix socket; masep token new makes them",
    )


def options(given: argparse.Namespace) -> dict[str, Any]:
    """The arguments that these are, of a server or a table."""
    names = ("drop_formless", "tls_cert", "tls_key", "tls", "tokens")
    return {"arguments": dict(given.arg), **{name: getattr(given, name) for name in names}}


def add_server_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of those that give each client an environment of its own."""
    command.add_argument(
        "--envs", type=int, default=8, metavar="N", help="clients at the same time (default 8)"
    )
    command.add_argument(
        "--allow",
        action="append",
        default=["render_mode"],
        metavar="NAME",
        help="an argument that clients may set beside render_mode; can be given several times",
    )


def serve(server: type[EnvironmentServer[Any]], env: Any, given: argparse.Namespace) -> None:
    """Serves environments until Ctrl-C."""
    with server(
        env, given.address, envs=given.envs, allow=given.allow, **options(given)
    ) as serving:
        print(f"environments at {serving.target}", flush=True)
        serving.wait()
