"""``python -m masep.pettingzoo serve pettingzoo.classic.tictactoe_v3 127.0.0.1:60000``"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from .._environments.program import add_options, add_server_options, end_by_signal, options, serve
from .._exceptions import MasepError
from . import EnvironmentServer, EnvironmentTable, Episode

_ENV = (
    "the id of an environment, classic/tictactoe-v3; a module with env() or parallel_env(); or module:function for a "
    "function that makes one"
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m masep.pettingzoo", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    table = commands.add_parser(
        "serve", help="serve an environment as a table, a player for each agent, until Ctrl-C"
    )
    table.set_defaults(run=_serve)
    _add_common(table)
    table.add_argument("--episodes", type=int, metavar="N", help="end after so many")
    table.add_argument("--seed", type=int, metavar="N", help="of the first episode; it rises by one with each")
    table.add_argument(
        "--aec", action="store_true", help="ask agents one after the other where a module has both kinds"
    )
    table.add_argument("--deadline", type=float, metavar="SECONDS", help="for each turn; any time if not given")
    table.add_argument("--bank", type=float, metavar="SECONDS", help="beyond that, for the whole game")
    table.add_argument(
        "--late",
        choices=["random-legal"],
        help="the action of an agent that has none; if not given, its episode is given up",
    )
    table.add_argument(
        "--illegal",
        choices=["late", "end", "environment"],
        default="late",
        help="an action that is none counts as late, ends the episode, or is left to the environment where it is "
        "only masked (default late)",
    )
    table.add_argument(
        "--grace", type=float, default=30.0, metavar="SECONDS", help="for a player that is lost (default 30)"
    )
    table.add_argument(
        "--rejoin-by-id",
        action="store_true",
        help="give the seat of a player that is away to one with its id, without its resume text",
    )
    table.add_argument("--game", default="", help="the name that players have to name; any if not given")
    environments = commands.add_parser(
        "serve-environments",
        help="serve environments, each to a client of its own that plays all agents, until Ctrl-C",
    )
    environments.set_defaults(run=_serve_environments)
    _add_common(environments)
    add_server_options(environments)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("env", help=_ENV)
    add_options(command)


def _tell(episode: Episode) -> None:
    returns = ", ".join(f"{agent} {total:g}" for agent, total in episode.returns.items())
    ended = "" if episode.ended is None else f"; given up: {episode.ended!r}"
    print(f"episode {episode.number}: {returns}, {episode.turns} turns{ended}", flush=True)


def _serve(given: argparse.Namespace) -> None:
    rules: dict[str, Any] = {
        name: getattr(given, name)
        for name in ("seed", "deadline", "bank", "late", "illegal", "grace", "game")
    }
    with EnvironmentTable(
        given.env,
        given.address,
        kind="aec" if given.aec else None,
        rejoins_by_id=given.rejoin_by_id,
        **rules,
        **options(given),
    ) as table:
        print(f"{table.env} at {table.target}", flush=True)
        for episode in table.play(given.episodes):
            _tell(episode)


def _serve_environments(given: argparse.Namespace) -> None:
    serve(EnvironmentServer, given.env, given)


def main() -> int:
    given = _parser().parse_args()
    signal.signal(signal.SIGTERM, end_by_signal)
    try:
        given.run(given)
    except KeyboardInterrupt:
        return 0
    except (MasepError, OSError, RuntimeError, ImportError, AttributeError) as error:
        print(f"masep.pettingzoo: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        # Its traceback has been logged.
        print(f"masep.pettingzoo: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
