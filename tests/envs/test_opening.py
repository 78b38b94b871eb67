"""A world is made by its id, or one line says what to write or install instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envs.opening import make_world

FAKE = "tests.envs.fake_world:Fake-v0"


def test_a_module_before_the_colon_is_imported_first() -> None:
    code = (
        "from envs.opening import make_world; import sys\n"
        f"assert 'tests.envs.fake_world' not in sys.modules\n"
        f"env = make_world({FAKE!r}, {{'size': 24, 'max_episode_steps': 2}})\n"
        "print(env.reset(seed=0)[0].shape, env.spec.max_episode_steps)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(24, 24, 3) 2"


@pytest.mark.parametrize(
    ("world", "kwargs", "words"),
    [
        ("worldmodel/BlokWorld-v0", {}, "no world is called 'worldmodel/BlokWorld-v0', did you mean 'worldmodel/Block"),
        ("worldmodel/BlockWorld-v9", {}, "did you mean 'worldmodel/BlockWorld-v0'"),
        ("no world at all", {}, "no world is called 'no world at all', known: .*worldmodel/BlockWorld-v0"),
        ("nowhere:Fake-v0", {}, "cannot be imported: No module named 'nowhere'"),
        (".nowhere:Fake-v0", {}, "cannot be imported"),
        ("tests.envs.fake_world:Fake-v1", {}, "did you mean 'Fake-v0'"),
        (FAKE, {"sise": 3}, "takes no argument 'sise', did you mean 'size'"),
        (FAKE, {"disable_env_checker": True}, "takes no argument 'disable_env_checker'"),
        (FAKE, {"size": "wide"}, "cannot be made with {'size': 'wide'}: .*integer"),
        ("worldmodel/Generated-v0", {}, "missing 1 required positional argument: 'checkpoint'"),
        ("worldmodel/BlockWorld-v0", {"biome": "meadov"}, "unknown biome 'meadov', did you mean 'meadow'"),
    ],
)
def test_what_cannot_be_made_is_said(world: str, kwargs: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_world(world, kwargs)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("envs.avatar.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "skia", None)  # as if it were not there
    with pytest.raises(
        ValueError, match="worldmodel/Avatar-v0 cannot be made: drawing avatars needs Skia.*pip install"
    ):
        make_world("worldmodel/Avatar-v0", {})
