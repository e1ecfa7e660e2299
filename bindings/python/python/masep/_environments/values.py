"""Observations, actions and infos, and what goes over the wire for them.

A scalar of numpy goes as an array without dimensions. One that arrives becomes a scalar again, unless
its space says that it is an array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from .. import _masep
from .._exceptions import CallerError, MasepError

_MADE = 64
"""Actions of a Discrete space that are there before they are chosen."""

_ARRAYS = frozenset("?bBhHiIlLqQefd")
"""The types of numpy of which there are arrays on the wire."""

_PLAIN = frozenset({np.ndarray, int, float, bool, str, bytes, type(None)})


def to_wire(value: Any) -> Any:
    """The form of a value: what has none of its own is left to the protocol, which has one or refuses it."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        if isinstance(value, (np.str_, np.bytes_)):
            return value.item()
        return np.asarray(value) if value.dtype.char in _ARRAYS else value
    if isinstance(value, Mapping):
        return {key: to_wire(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple([to_wire(item) for item in value])
    if isinstance(value, list):
        return [to_wire(item) for item in value]
    return value


def without_formless(value: Any) -> Any:
    """The wire form of a value, without the items of dicts that have none."""
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        item = without_formless(item)
        if isinstance(key, str) and _has_form(item):
            kept[key] = item
    return kept


def _has_form(value: Any) -> bool:
    try:
        _masep.encode_cbor("", {"": value}, "")
    except MasepError:
        return False
    return True


def from_wire(value: Any) -> Any:
    """The value of a wire form."""
    kind = type(value)
    if kind is np.ndarray:
        return value if value.ndim else value[()]
    if kind is dict:
        return {key: from_wire(item) for key, item in value.items()}
    if kind is list:
        return [from_wire(item) for item in value]
    if kind is tuple:
        return tuple([from_wire(item) for item in value])
    return value


def as_it_is(value: Any) -> Any:
    return value


def reader(space: spaces.Space[Any]) -> Callable[[Any], Any]:
    """The function that makes an element of the space of its wire form."""
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return as_it_is
    if isinstance(space, spaces.Dict):
        members = {key: reader(member) for key, member in space.spaces.items()}
        return lambda value: _read_dict(value, members)
    if isinstance(space, spaces.Tuple):
        readers = [reader(member) for member in space.spaces]
        return lambda value: _read_tuple(value, readers)
    if isinstance(space, spaces.Sequence):
        inner = reader(space.stacked_feature_space if space.stack else space.feature_space)
        return inner if space.stack else lambda value: tuple([inner(item) for item in value])
    return from_wire


def _read_dict(value: Any, members: dict[str, Callable[[Any], Any]]) -> Any:
    if type(value) is not dict:
        return from_wire(value)
    return {key: members.get(key, from_wire)(item) for key, item in value.items()}


def _read_tuple(value: Any, readers: list[Callable[[Any], Any]]) -> Any:
    if type(value) not in (tuple, list) or len(value) != len(readers):
        return from_wire(value)
    return tuple([read(item) for read, item in zip(readers, value)])


def caster(space: spaces.Space[Any], outwards: bool) -> Callable[[Any], Any]:
    """The function that makes an element of the space of something like one: of the right shape and type, which is looked at, and in
    bounds, which is not.

    :param outwards: whether it is to be sent; else it has arrived, and an environment gets it
    """
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return _array_caster(np.dtype(space.dtype), space.shape, may_be_flat=not outwards)
    if isinstance(space, spaces.Discrete):
        return _integer if outwards else _scalar_caster(space)
    if isinstance(space, spaces.Text):
        return _text
    if isinstance(space, spaces.Dict):
        members = {key: caster(member, outwards) for key, member in space.spaces.items()}
        return lambda action: _cast_dict(action, members)
    if isinstance(space, spaces.Tuple):
        casters = [caster(member, outwards) for member in space.spaces]
        return lambda action: _cast_tuple(action, casters)
    if isinstance(space, spaces.Sequence) and not space.stack:
        inner = caster(space.feature_space, outwards)
        return lambda action: tuple([inner(item) for item in action])
    return to_wire if outwards else from_wire


def _array_caster(
    dtype: np.dtype[Any], shape: tuple[int, ...], may_be_flat: bool
) -> Callable[[Any], Any]:
    # Other languages have arrays of one dimension alone.
    flat = (int(np.prod(shape)),)

    def cast(action: Any) -> np.ndarray[Any, Any]:
        array = action if type(action) is np.ndarray else np.asarray(action)
        if array.dtype != dtype:
            # A list of ints for floats, float64 for float32; no floats for ints, and no text.
            if not np.can_cast(array.dtype, dtype, "same_kind") and not _fits(array, dtype):
                raise CallerError(f"an action is of {dtype}, not of {array.dtype}")
            array = array.astype(dtype)
        if array.shape != shape:
            if may_be_flat and array.shape == flat:
                return array.reshape(shape)
            raise CallerError(f"an action has the shape {shape}, not {array.shape}")
        return array

    return cast


def _fits(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> bool:
    """True of integers that are the same in another type of integers."""
    return array.dtype.kind in "iub" and dtype.kind in "iu" and bool((array.astype(dtype) == array).all())


def _integer(action: Any) -> int:
    if type(action) is int:
        return action
    array = np.asarray(action)
    if array.dtype.kind not in "iu" or array.shape != ():
        raise CallerError(f"an action is an integer, not {action!r:.100}")
    return int(array.item())


def _scalar_caster(space: spaces.Discrete) -> Callable[[Any], Any]:
    scalar = np.dtype(space.dtype).type
    # To make one takes longer than to receive it.
    first = int(space.start)
    made = {number: scalar(number) for number in range(first, first + min(int(space.n), _MADE))}

    def cast(action: Any) -> Any:
        if type(action) is not int:
            action = _integer(action)
        known = made.get(action)
        return scalar(action) if known is None else known

    return cast


def _text(action: Any) -> str:
    if not isinstance(action, str):
        raise CallerError(f"an action is a str, not {action!r:.100}")
    return str(action)


def _cast_dict(action: Any, members: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    if not isinstance(action, Mapping) or set(action) != set(members):
        raise CallerError(f"an action is a dict with the keys {list(members)}, not {action!r:.100}")
    return {key: cast(action[key]) for key, cast in members.items()}


def _cast_tuple(action: Any, casters: list[Callable[[Any], Any]]) -> tuple[Any, ...]:
    if not isinstance(action, (tuple, list)) or len(action) != len(casters):
        raise CallerError(f"an action is a tuple of {len(casters)}, not {action!r:.100}")
    return tuple([cast(item) for cast, item in zip(casters, action)])
