"""``python -m masep.gymnasium serve CartPole-v1 127.0.0.1:60000 --envs 8``"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Callable
from typing import Any

from .._environments.program import argument, end_by_signal
from .._exceptions import MasepError
from . import EnvironmentServer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m masep.gymnasium", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve environments until Ctrl-C")
    serve.add_argument(
        "env",
        help="the id of an environment, or module:function for one that makes it; Gymnasium's "
        "module:Name-v0 imports the module first",
    )
    serve.add_argument("address", help="HOST:PORT (port 0 takes a free one) or unix:///PATH")
    serve.add_argument("--envs", type=int, default=8, help="clients at the same time (default 8)")
    serve.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="an argument of each environment, such as is_slippery=false; can be given several times",
    )
    serve.add_argument(
        "--allow",
        action="append",
        default=["render_mode"],
        metavar="NAME",
        help="an argument that clients may set beside render_mode; can be given several times",
    )
    serve.add_argument(
        "--drop-formless",
        action="store_true",
        help="leave out objects of infos that cannot be sent, which are errors otherwise",
    )
    serve.add_argument(
        "--tokens",
        metavar="FILE",
        help="access tokens, of which each client says one; the address is unix:///PATH then",
    )
    return parser


def _environment(name: str) -> str | Callable[..., Any]:
    """The id, or the function that is meant."""
    module, _, function = name.partition(":")
    if function.isidentifier():
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
    return name


def main() -> int:
    given = _parser().parse_args()
    signal.signal(signal.SIGTERM, end_by_signal)
    try:
        with EnvironmentServer(
            _environment(given.env),
            given.address,
            envs=given.envs,
            arguments=dict(map(argument, given.arg)),
            allow=given.allow,
            drop_formless=given.drop_formless,
            tokens=given.tokens,
        ) as server:
            print(f"environments at {server.target}", flush=True)
            server.wait()
    except KeyboardInterrupt:
        return 0
    except (MasepError, OSError, RuntimeError, ImportError, AttributeError) as error:
        print(f"masep.gymnasium: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
