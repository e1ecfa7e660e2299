"""Spaces as JSON values, exactly: chapter 9 of PROTOCOL2.md has their forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from .._exceptions import CallerError, PeerError


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """The JSON value of a space, of which :func:`space_from_json` makes an equal one: with the same seed it has the
    same samples, and an element is the same when it is flattened.

    :raises CallerError: for a space that has no form, which is named: a Graph, a OneOf, one of another
        package's
    """
    form = _FORMS.get(type(space))
    if form is None:
        known = ", ".join(kind.__name__ for kind in _FORMS)
        raise CallerError(
            f"the space {type(space).__module__}.{type(space).__qualname__} cannot be sent: {known} can"
        )
    return {"space": type(space).__name__, **form(space)}


def _box(space: spaces.Box) -> dict[str, Any]:
    return {
        "low": _bound(space.low),
        "high": _bound(space.high),
        "shape": list(space.shape),
        "dtype": str(space.dtype),
    }


def _discrete(space: spaces.Discrete) -> dict[str, Any]:
    return {"n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}


def _multi_discrete(space: spaces.MultiDiscrete) -> dict[str, Any]:
    nvec, start = space.nvec.tolist(), space.start.tolist()
    return {"nvec": nvec, "start": start, "dtype": str(space.dtype)}


def _multi_binary(space: spaces.MultiBinary) -> dict[str, Any]:
    return {"shape": list(space.shape)}


def _text(space: spaces.Text) -> dict[str, Any]:
    return {
        "min_length": space.min_length,
        "max_length": space.max_length,
        # Their order decides samples, masks and flattened elements.
        "characters": "".join(space.character_list),
    }


def _tuple(space: spaces.Tuple[Any]) -> dict[str, Any]:
    return {"spaces": [space_to_json(member) for member in space.spaces]}


def _dict(space: spaces.Dict) -> dict[str, Any]:
    for key in space.spaces:
        if not isinstance(key, str):
            raise CallerError(f"the key {key!r} of a Dict cannot be sent: a str can")
    return {"spaces": [[key, space_to_json(member)] for key, member in space.spaces.items()]}


def _sequence(space: spaces.Sequence) -> dict[str, Any]:
    return {"feature_space": space_to_json(space.feature_space), "stack": space.stack}


_FORMS: dict[type, Any] = {
    spaces.Box: _box,
    spaces.Discrete: _discrete,
    spaces.MultiDiscrete: _multi_discrete,
    spaces.MultiBinary: _multi_binary,
    spaces.Text: _text,
    spaces.Tuple: _tuple,
    spaces.Dict: _dict,
    spaces.Sequence: _sequence,
}


def _bound(bound: np.ndarray[Any, Any]) -> Any:
    """One number if all are that, else lists."""
    if bound.size and (bound == bound.flat[0]).all():
        return _number(bound.flat[0].item())
    return _numbers(bound.tolist())


def _numbers(items: Any) -> Any:
    return [_numbers(item) for item in items] if isinstance(items, list) else _number(items)


def _number(number: Any) -> Any:
    """JSON has no infinities."""
    if isinstance(number, float) and math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return number


def space_from_json(value: dict[str, Any]) -> spaces.Space[Any]:
    """The space of a JSON value.

    :raises PeerError: for one that is no space that is known here
    """
    made: spaces.Space[Any]
    try:
        make = _MAKERS[value["space"]]
    except (KeyError, TypeError):
        raise PeerError(f"no space that is known here: {value!r:.200}", "space") from None
    try:
        made = make(value)
    except PeerError:
        raise
    except (KeyError, TypeError, ValueError, AssertionError, IndexError) as error:
        raise PeerError(f"not a {value['space']}: {error!r}", "space") from error
    return made


def _make_box(value: dict[str, Any]) -> spaces.Box:
    dtype, shape = np.dtype(value["dtype"]), tuple(value["shape"])
    low, high = (_array(value[bound], shape, dtype) for bound in ("low", "high"))
    return spaces.Box(low, high, shape, dtype)


def _array(bound: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    items = np.array(_infinite(bound), dtype)
    return np.full(shape, items, dtype) if items.shape == () else items.reshape(shape)


def _infinite(bound: Any) -> Any:
    if isinstance(bound, list):
        return [_infinite(item) for item in bound]
    return float(bound) if isinstance(bound, str) else bound


def _make_discrete(value: dict[str, Any]) -> spaces.Discrete:
    return spaces.Discrete(value["n"], start=value["start"], dtype=np.dtype(value["dtype"]))


def _make_multi_discrete(value: dict[str, Any]) -> spaces.MultiDiscrete:
    dtype = np.dtype(value["dtype"])
    nvec, start = np.array(value["nvec"], dtype), np.array(value["start"], dtype)
    return spaces.MultiDiscrete(nvec, dtype, start=start)


def _make_multi_binary(value: dict[str, Any]) -> spaces.MultiBinary:
    shape = value["shape"]
    return spaces.MultiBinary(shape if len(shape) != 1 else shape[0])


def _make_text(value: dict[str, Any]) -> spaces.Text:
    lengths = {"min_length": value["min_length"], "max_length": value["max_length"]}
    return spaces.Text(charset=value["characters"], **lengths)


def _make_tuple(value: dict[str, Any]) -> spaces.Tuple[Any]:
    return spaces.Tuple([space_from_json(member) for member in value["spaces"]])


def _make_dict(value: dict[str, Any]) -> spaces.Dict:
    return spaces.Dict([(key, space_from_json(member)) for key, member in value["spaces"]])


def _make_sequence(value: dict[str, Any]) -> spaces.Sequence:
    return spaces.Sequence(space_from_json(value["feature_space"]), stack=value["stack"])


_MAKERS: dict[str, Any] = {
    "Box": _make_box,
    "Discrete": _make_discrete,
    "MultiDiscrete": _make_multi_discrete,
    "MultiBinary": _make_multi_binary,
    "Text": _make_text,
    "Tuple": _make_tuple,
    "Dict": _make_dict,
    "Sequence": _make_sequence,
}
