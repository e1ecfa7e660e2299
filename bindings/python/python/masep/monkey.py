"""An installed pymasep 0.1 or 0.2 on masep, without a change to it or to its users.

>>> import masep.monkey
>>> masep.monkey.patch_pymasep()

or, for a program that shall not be changed at all:

    python -m masep.monkey game.py ...
    python -m masep.monkey --allow-type pursuit -m pursuit.run_engine ...
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import runpy
import sys
import types
from collections.abc import Iterable, Sequence
from typing import Any

from . import _types, communication
from ._exceptions import CallerError

__all__ = ["is_patched", "main", "patch_pymasep"]

_PACKAGE = "pymasep"
_REPLACED = _PACKAGE + ".communication"

_SUBMODULES = {
    "base_threaded_communication": ["BaseThreadedCommunication"],
    "client": ["Client"],
    "frame": ["Frame"],
    "message": ["Message"],
    "server": ["Server"],
    "socket_handler": ["SocketHandler"],
    "socket_handler_queue": ["SocketHandlerQueue"],
}
"""The modules of ``pymasep.communication``, and what others take from them."""

_log = logging.getLogger("masep.monkey")


def is_patched() -> bool:
    """True if ``pymasep.communication`` is masep's."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def patch_pymasep(allow_types: Iterable[str] = ()) -> None:
    """Makes ``pymasep.communication`` masep's, for all of pymasep and its users, in this process and in those that
    :mod:`multiprocessing` starts from here on.

    If pymasep has been imported, names that were taken from it are replaced wherever a module has
    them.

    :param allow_types: as for :func:`masep.allow_types`: the games that an engine shall play which
        does not import them itself (pymasep's imports whatever a client names)
    :raises CallerError: if it is too late: a class of the program is derived from one of pymasep's,
        or an object of one is alive. Nothing is changed then.
    """
    _types.allow_types(*allow_types)
    if is_patched():
        return
    before = {
        name: module
        for name, module in sys.modules.items()
        if (name == _REPLACED or name.startswith(_REPLACED + ".")) and module is not None
    }
    modules = _modules()
    replaced = _replaced_objects(before, modules)
    if replaced:
        _check_in_time(replaced)
    sys.meta_path.insert(0, _Finder(modules))
    _patch_children()
    # Else the finder gives them to whoever imports pymasep.
    if _PACKAGE in sys.modules:
        sys.modules.update(modules)
        setattr(sys.modules[_PACKAGE], "communication", modules[_REPLACED])
    count = _replace_names(replaced)
    _log.info("pymasep.communication is masep's; %d names replaced", count)


class _Patch:
    """Patches the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[list[str]]]:
        return patch_pymasep, (_types.allowed(),)


def _patch_children() -> None:
    """Has the children of :mod:`multiprocessing` patched that are no forks of this process, before they import the main
    module: what they are to prepare is the first that they unpickle."""
    # Not before: an import of this module brings no other main module along.
    from multiprocessing import spawn

    prepared = spawn.get_preparation_data

    @functools.wraps(prepared)
    def with_patch(name: str) -> dict[str, Any]:
        return {"masep": _Patch(), **prepared(name)}

    spawn.get_preparation_data = with_patch


def _modules() -> dict[str, types.ModuleType]:
    package = types.ModuleType(_REPLACED, communication.__doc__)
    package.__path__ = []
    package.__package__ = _REPLACED
    package.__all__ = list(communication.__all__)  # type: ignore[attr-defined]
    for name in communication.__all__:
        setattr(package, name, getattr(communication, name))
    modules = {_REPLACED: package}
    for name, members in _SUBMODULES.items():
        module = types.ModuleType(f"{_REPLACED}.{name}")
        module.__package__ = _REPLACED
        for member in members:
            setattr(module, member, getattr(communication, member))
        setattr(package, name, module)
        modules[module.__name__] = module
    return modules


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives pymasep's importers the modules of masep."""

    def __init__(self, modules: dict[str, types.ModuleType]) -> None:
        self._modules = modules

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, is_package=fullname == _REPLACED
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return self._modules[spec.name]

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _replaced_objects(
    before: dict[str, types.ModuleType], modules: dict[str, types.ModuleType]
) -> dict[int, object]:
    """The modules and classes of masep that replace those of pymasep, by the identity of these."""
    replaced: dict[int, object] = {}
    for name, module in before.items():
        if name in modules:
            replaced[id(module)] = modules[name]
        for public in communication.__all__:
            found = vars(module).get(public)
            if isinstance(found, type):
                replaced[id(found)] = getattr(communication, public)
    return replaced


def _check_in_time(replaced: dict[int, object]) -> None:
    # Objects that nobody has any more do not count.
    gc.collect()
    for known in gc.get_objects():
        if isinstance(known, type):
            for base in () if _is_pymaseps(known) else known.__bases__:
                if id(base) in replaced:
                    raise CallerError(
                        f"too late to patch pymasep: {known.__module__}.{known.__qualname__} is "
                        f"derived from its {base.__name__}; call patch_pymasep() before the "
                        f"module {known.__module__} is imported"
                    )
        elif id(type(known)) in replaced and not isinstance(known, types.ModuleType):
            raise CallerError(
                f"too late to patch pymasep: there is a {type(known).__name__} of it already; "
                "call patch_pymasep() before any is made"
            )


def _is_pymaseps(known: type) -> bool:
    # Of some classes of builtins this is no text.
    return str(known.__module__).startswith(_REPLACED)


def _replace_names(replaced: dict[int, object]) -> int:
    """Replaces in all modules what they have taken from pymasep; how many names."""
    count = 0
    for module in list(sys.modules.values()):
        if not isinstance(module, types.ModuleType):
            continue
        for key, found in list(vars(module).items()):
            if id(found) in replaced:
                setattr(module, key, replaced[id(found)])
                count += 1
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a script, or with ``-m`` a module, on a patched pymasep."""
    parser = argparse.ArgumentParser(
        prog="python -m masep.monkey",
        usage="%(prog)s [--allow-type NAME]... (SCRIPT | -m MODULE) [ARGUMENT]...",
        description="Runs a program that uses pymasep, with masep for its communication.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--allow-type",
        action="append",
        default=[],
        metavar="NAME",
        help="a class, module or package, such as a game, that messages may name though the program "
        "does not import it",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module")
    parser.add_argument("program", metavar="SCRIPT", help="what to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    parsed = parser.parse_args(arguments)
    patch_pymasep(parsed.allow_type)
    sys.argv = [parsed.program, *parsed.arguments]
    if parsed.module:
        runpy.run_module(parsed.program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(parsed.program))
        runpy.run_path(parsed.program, run_name="__main__")


if __name__ == "__main__":
    # Of the module that others import, not of this second copy of it.
    importlib.import_module("masep.monkey").main()
