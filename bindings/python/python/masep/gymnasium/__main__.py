"""``python -m masep.gymnasium serve CartPole-v1 127.0.0.1:60000 --envs 8``"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Callable
from typing import Any

from .._environments.program import add_options, add_server_options, end_by_signal, serve
from .._exceptions import MasepError
from . import EnvironmentServer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m masep.gymnasium", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serves = commands.add_parser("serve", help="serve environments until Ctrl-C")
    serves.add_argument(
        "env",
        help="the id of an environment, or module:function for one that makes it; Gymnasium's "
        "module:Name-v0 imports the module first",
    )
    add_options(serves)
    add_server_options(serves)
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
        serve(EnvironmentServer, _environment(given.env), given)
    except KeyboardInterrupt:
        return 0
    except (MasepError, OSError, RuntimeError, ImportError, AttributeError) as error:
        print(f"masep.gymnasium: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
