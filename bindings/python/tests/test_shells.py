"""The package has each call twice, without async and for asyncio: under one name, with the same arguments and defaults."""

from __future__ import annotations

import inspect

import masep
import masep.aio
import pytest

CLASSES = ["Actions", "Connection", "Player", "Server", "Table", "Turn"]
FUNCTIONS = ["connect", "discover", "join", "search"]


def public(of):
    return {name for name in dir(of) if not name.startswith("_")}


def parameters(of):
    """Names, kinds and defaults. Annotations differ: one gives what is to be awaited."""
    found = inspect.signature(of).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_same_arguments(name):
    assert parameters(getattr(masep.aio, name)) == parameters(getattr(masep, name))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_same_names_and_arguments(name):
    blocking, loops = getattr(masep, name), getattr(masep.aio, name)
    assert public(loops) == public(blocking)
    assert parameters(loops) == parameters(blocking) or name in ("Actions", "Turn"), "the host makes none of these"
    for method in public(blocking):
        if inspect.isfunction(getattr(blocking, method)):
            assert parameters(getattr(loops, method)) == parameters(getattr(blocking, method)), method


@pytest.mark.parametrize("package", [masep, masep.aio])
def test_everything_public_says_what_it_is(package):
    for name in package.__all__:
        one = getattr(package, name)
        assert inspect.getdoc(one), name
        if inspect.isclass(one):
            for member in public(one):
                kept = inspect.getattr_static(one, member)
                if inspect.isfunction(kept) or isinstance(kept, property):
                    assert inspect.getdoc(getattr(one, member)), f"{name}.{member}"
