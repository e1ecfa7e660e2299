"""The names of classes that become classes.

A name in a message is the word of whoever sent it. pymasep imports the module it names; masep looks
it up among the modules that are there already, unless the program allowed the name beforehand.
"""

from __future__ import annotations

import importlib
import sys

from ._exceptions import CallerError, PeerError

_allowed: set[str] = set()


class TypeName(str):
    """The dotted name of a class, to be sent as if it were the class: for an agent that plays a game
    whose module it has not.

    >>> Message(Message.MESSAGE_TYPE_DEFINE, {"game": TypeName("pursuit.PursuitGame")}, "agent-1")
    """


def allow_types(*names: str) -> None:
    """Allows messages to name these classes, or all classes of these modules and of what is in these
    packages, though the module has not been imported: it is imported when the first message names
    one. A module ``__main__`` of a package, which is a program, is not.

    >>> allow_types("pursuit", "countdown.Countdown")
    """
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise CallerError(f"not the dotted name of a module or class: {name!r}")
    _allowed.update(names)


def allowed() -> list[str]:
    """The names that were allowed."""
    return sorted(_allowed)


def resolve(name: str) -> type:
    """The class of this name."""
    parts = name.split(".")
    if len(parts) == 1:
        parts.insert(0, "builtins")
    # A class may stand in another one: the longest name of a module counts.
    for length in range(len(parts) - 1, 0, -1):
        module = _module(parts[:length], parts)
        if module is not None:
            return _member(module, parts[length:], name)
    raise _not_imported(name)


def _module(parts: list[str], whole: list[str]) -> object | None:
    name = ".".join(parts)
    if name in sys.modules:
        return sys.modules[name]
    if _is_allowed(parts, whole):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name + ".").startswith(error.name + "."):
                return None
            raise
    return None


def _is_allowed(parts: list[str], whole: list[str]) -> bool:
    """True if the module of this name may be imported for a class of that one."""
    if "__main__" in parts:
        return False
    if len(whole) == len(parts) + 1 and ".".join(whole) in _allowed:
        return True
    return any(".".join(parts[:length]) in _allowed for length in range(1, len(parts) + 1))


def _member(module: object, path: list[str], name: str) -> type:
    # By `__dict__`: a module's `__getattr__` may import others.
    found = module
    for part in path:
        members = getattr(found, "__dict__", {})
        if part not in members and hasattr(found, "__path__"):
            # Of a package, it may be the name of a module.
            raise _not_imported(name)
        found = members.get(part)
    if not isinstance(found, type):
        raise PeerError(f"there is no class {name!r}", "unknown_type")
    return found


def _not_imported(name: str) -> PeerError:
    return PeerError(
        f"the class {name!r} is in no module that was imported; masep.allow_types({name!r}), or "
        f"--allow-type of masep.monkey with that name, allows it",
        "unknown_type",
    )
