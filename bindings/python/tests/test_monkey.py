"""An installed pymasep on masep: `patch_pymasep()`, and `python -m masep.monkey`. Each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PATCHED = """
import pymasep.communication, pymasep.communication.message, pymasep.engine.engine, pymasep.interface.interface
import masep.communication
assert pymasep.communication.Server is masep.communication.Server
assert pymasep.communication.message.Message is masep.communication.Message
assert pymasep.engine.engine.Server is masep.communication.Server
assert pymasep.interface.interface.Client is masep.communication.Client
"""


@pytest.mark.parametrize("before", ["", "import pymasep.engine.engine, pymasep.interface.interface;"])
def test_pymasep_is_patched_before_or_after_its_import(before):
    code = before + "import masep.monkey; masep.monkey.patch_pymasep()\n" + PATCHED
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_script_runs_on_a_patched_pymasep(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PATCHED + "import sys; print(sys.argv[1:])")
    command = [sys.executable, "-m", "masep.monkey", str(script), "--an", "argument"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("['--an', 'argument']\n")


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("class Handler(pymasep.communication.SocketHandler): pass", "__main__.Handler"),
        ("frame = pymasep.communication.Frame(b'')", "a Frame"),
    ],
    ids=["a class", "an object"],
)
def test_a_patch_that_comes_too_late_says_so(before, told):
    code = (
        "import pymasep.communication\n"
        f"{before}\n"
        "import masep.monkey\n"
        "try: masep.monkey.patch_pymasep()\n"
        "except masep.CallerError as error: print(error)\n"
        "assert not masep.monkey.is_patched()\n"
        "assert pymasep.communication.Frame.__module__ == 'pymasep.communication.frame'\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert told in ended.stdout, ended.stderr


def test_what_a_program_allows_is_imported_when_a_message_names_it(tmp_path):
    (tmp_path / "allowed_game.py").write_text("class Game: pass")
    (tmp_path / "engine.py").write_text(
        "import sys\n"
        "from pymasep.communication import Message\n"
        "message = Message('', None, '')\n"
        "assert 'allowed_game' not in sys.modules\n"
        "message.from_bytes(b'<Message msg_type=\"define\" src_sub_app=\"a\"><dict><item key=\"game\">'\n"
        "    b\"<type>&lt;class 'allowed_game.Game'&gt;</type></item></dict></Message>\")\n"
        "print(message.params['game'].__name__)\n"
    )
    command = [sys.executable, "-m", "masep.monkey", "--allow-type", "allowed_game.Game", str(tmp_path / "engine.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("Game\n")
    refused = subprocess.run([*command[:3], command[-1]], capture_output=True, text=True, timeout=60)
    assert "masep.allow_types" in refused.stderr


ENGINE = """
import sys
from pymasep.communication import Message
message = Message('', None, '')
message.from_bytes(b'<Message msg_type="define" src_sub_app="a"><dict><item key="game">'
    b"<type>&lt;class '" + sys.argv[1].encode() + b"'&gt;</type></item></dict></Message>")
print(message.params['game'].__name__)
"""


@pytest.fixture
def engine_in_a_package(directory):
    """Runs the engine of the package `pkg`, which has a game that the engine does not import."""
    package = directory / "pkg"
    (package / "games").mkdir(parents=True)
    for module in (package / "__init__.py", package / "games" / "__init__.py"):
        module.write_text("")
    (package / "game.py").write_text("class G: pass")
    (package / "games" / "deep.py").write_text("class Deep:\n class Inner: pass")
    (package / "__main__.py").write_text("class Main: pass\nprint('the program ran')")
    (package / "run_engine.py").write_text(ENGINE)

    def run(name, *options):
        command = [sys.executable, "-m", "masep.monkey", *options, "-m", "pkg.run_engine", name]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("name", ["pkg.game.G", "pkg.games.deep.Deep", "pkg.games.deep.Deep.Inner"])
def test_what_is_in_a_package_that_was_imported_may_be_allowed_by_name(engine_in_a_package, name):
    """The package has been imported, as that of the engine; the module of the game has not."""
    refused = engine_in_a_package(name)
    assert f"the class {name!r} is in no module that was imported" in refused.stderr
    assert "--allow-type" in refused.stderr
    assert f"masep.allow_types({name!r})" in refused.stderr
    for allowed in ("pkg", name.rpartition(".")[0]):
        played = engine_in_a_package(name, "--allow-type", allowed)
        assert played.stdout.endswith(f"{name.rpartition('.')[2]}\n"), played.stderr


@pytest.mark.parametrize("name", ["pkg.__main__.Main", "pkg.nothing.G", "pkg.game.Other", "pkgs.game.G"])
def test_what_is_not_in_a_package_that_is_allowed(engine_in_a_package, name):
    """Its program is not run, and what does not exist is no class."""
    ended = engine_in_a_package(name, "--allow-type", "pkg")
    assert ended.returncode == 1
    assert "masep.PeerError" in ended.stderr
    assert "the program ran" not in ended.stdout


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_run_on_a_patched_pymasep(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import multiprocessing
from pymasep.communication import SocketHandler
class Own(SocketHandler):
    pass
def child():
    print(Own.__base__.__module__, flush=True)
if __name__ == "__main__":
    started = multiprocessing.get_context("{method}").Process(target=child)
    started.start()
    started.join()
"""
    )
    command = [sys.executable, "-m", "masep.monkey", str(script)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith("masep.")
