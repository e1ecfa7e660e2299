"""The arguments of environments that the programs take."""

from __future__ import annotations

import argparse

import pytest

from masep._environments import program


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    program.add_options(parser)
    rest = [part for argument in arguments for part in ("--arg", argument)]
    return program.options(parser.parse_args(["127.0.0.1:0", *rest]))["arguments"]


def test_arguments_are_json_and_anything_else_is_a_text():
    given = ("slippery=false", "size=4", "names=[1, null]", "map=4x4", "rule=a=b", "empty=", 'word="True"')
    assert parsed(*given) == {
        "slippery": False,
        "size": 4,
        "names": [1, None],
        "map": "4x4",
        "rule": "a=b",
        "empty": "",
        "word": "True",
    }


@pytest.mark.parametrize(
    "given, said",
    [
        ("slippery=False", "write slippery=false"),
        ("slippery=True", "write slippery=true"),
        ("seed=None", "write seed=null"),
        ("slippery", "is not NAME=JSON"),
        ("=1", "is not NAME=JSON"),
    ],
)
def test_a_word_of_pythons_and_an_argument_without_a_value_are_refused(given, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(given)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
