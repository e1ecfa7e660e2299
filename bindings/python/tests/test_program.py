"""Programs that serve environments: their arguments, and what else they have the fork server do."""

from __future__ import annotations

import argparse
import subprocess
import sys

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


PROGRAM = """
import multiprocessing, sys
import gymnasium
from gymnasium import spaces

class Env(gymnasium.Env):
    observation_space = action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return 0, {"has": "colorsys" in sys.modules}

if __name__ == "__main__":
    from masep.gymnasium import EnvironmentServer, RemoteEnv

    multiprocessing.set_forkserver_preload(["colorsys"])
    with EnvironmentServer(Env, "127.0.0.1:0", envs=1) as server:
        env = RemoteEnv(server.target)
        print(env.reset()[1])
        env.close()
"""


def test_what_a_program_has_its_fork_server_import_stays(tmp_path):
    (tmp_path / "serves.py").write_text(PROGRAM)
    ended = subprocess.run([sys.executable, str(tmp_path / "serves.py")], capture_output=True, text=True, timeout=50)
    assert (ended.stdout, ended.stderr) == ("{'has': True}\n", "")
