"""Objects that have no form on the wire: `masep.communication` sends pymasep's bytes, and warns."""

from __future__ import annotations

import warnings

import pytest
from masep.communication import Message


class Base:
    """A class of its own for each test: there is one warning for each class."""

    def __str__(self):
        return "[1 2 ... 3]"


def made():
    return type("Array", (Base,), {"__module__": "arrays"})()


def sent(params):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = Message("observation", params, "engine").to_bytes()
    return data, [str(one.message) for one in caught], [one.filename for one in caught]


@pytest.mark.parametrize(
    ("params", "place"),
    [
        (lambda value: {"o": value}, "params['o']"),
        (lambda value: {"a": 1, "o": {"x": [0, (1, value)]}}, "params['o']['x'][1][1]"),
    ],
    ids=["at the top", "deep"],
)
def test_a_warning_names_the_place_and_the_class(params, place):
    data, told, files = sent(params(made()))
    assert b"<Array>[1 2 ... 3]</Array>" in data
    assert len(told) == 1
    assert told[0].startswith(f"{place} is of arrays.Array, which has no form of its own")
    assert files == [__file__]


def test_a_class_is_warned_of_once():
    value = made()
    assert len(sent({"a": value, "b": value})[1]) == 1
    assert sent({"c": value})[1] == []
    assert len(sent({"c": made()})[1]) == 1


def test_a_program_may_make_an_error_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            Message("observation", {"o": made()}, "engine").to_bytes()


def test_objects_with_a_form_are_no_reason_to_warn():
    params = {"a": [1, 2.5, True, None, "s", b"b", {1}, (2,)], "c": dict}
    assert sent(params)[1] == []


def test_the_element_of_a_message_warns_too():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Message("observation", {"o": made()}, "engine").to_xml()
    assert [one.filename for one in caught] == [__file__]
