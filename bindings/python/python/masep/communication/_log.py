"""The log files that pymasep writes."""

from __future__ import annotations

import logging
import os

DIRECTORY = "logs"
FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(funcName)s() - %(message)s"


def logger(name: str, ident: str, level: str | int) -> logging.Logger:
    """A logger of its own for one client or server: it writes ``logs/<name>-<ident>.log``, as
    pymasep's does, and hands on to ``masep.communication``.

    It is not in :mod:`logging`'s list of loggers, which keeps what is in it for ever.
    """
    os.makedirs(DIRECTORY, exist_ok=True)
    file = logging.FileHandler(os.path.join(DIRECTORY, f"{name}-{ident}.log"), mode="w")
    file.setFormatter(logging.Formatter(FORMAT))
    made = logging.Logger(f"masep.communication.{name}", level)
    made.parent = logging.getLogger("masep.communication")
    made.addHandler(file)
    return made


def close(made: logging.Logger) -> None:
    """Closes the file. What is logged later still goes to ``masep.communication``."""
    for handler in list(made.handlers):
        made.removeHandler(handler)
        handler.close()
