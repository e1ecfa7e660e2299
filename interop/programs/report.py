"""The reports of a program to its test: one JSON object a line, on its stdout."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()
_stdout = sys.stdout
# pymasep prints too ("Engine ended"): what is not ours goes to stderr.
sys.stdout = sys.stderr


def emit(event: str, **fields: Any) -> None:
    """Writes one event; whole lines, also from several threads."""
    with _lock:
        _stdout.write(json.dumps({"event": event, **fields}) + "\n")
        _stdout.flush()


def emit_crashes(but: Callable[[type[BaseException]], bool] = lambda _: False) -> None:
    """Makes a thread's death an event: pymasep's threads die with a trace on stderr and nobody is told.

    Not that of an error for which `but` says yes when it comes.
    """

    def tell(args: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(args)
        if but(args.exc_type):
            return
        thread = args.thread.name if args.thread else ""
        emit("crashed", thread=thread, error=f"{args.exc_type.__name__}: {args.exc_value}")

    threading.excepthook = tell
