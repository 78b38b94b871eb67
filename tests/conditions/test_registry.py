"""How conditions are found: by file, by decorator, by another package's entry point, and by the guide's own example."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

import conditions
from conditions import Condition, ConditionSet, registry
from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.clips import Clip, ClipSet

GUIDE = Path(__file__).parents[2] / "docs" / "add-a-condition.md"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in conditions.names():  # what is imported now registers once and for all
        conditions.get(name)
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))


def test_space_builds_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a module was built")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    assert conditions.space("keyboard", {"keys": ["up", "down"]}) == spaces.Dict(
        {"up": spaces.Discrete(2), "down": spaces.Discrete(2)}
    )


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="no condition is called 'camra', did you mean 'camera'"):
        conditions.get("camra")


def test_machinery_is_no_condition() -> None:
    assert not {"base", "set", "registry", "values"} & set(conditions.names())
    with pytest.raises(ValueError, match="no condition is called 'base'"):
        conditions.get("base")


def test_a_name_is_taken_once() -> None:
    conditions.get("camera")
    with pytest.raises(ValueError, match="'camera' is already conditions.camera.Camera"):

        @conditions.register("camera")
        class Other(Condition):
            pass

    with pytest.raises(ValueError, match="lower case"):
        conditions.register("my.camera")


def test_the_guides_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "wind.py").write_text(code[1])
    monkeypatch.setattr(conditions, "__path__", [*conditions.__path__, str(tmp_path)])  # as if it lay in conditions/
    monkeypatch.delitem(sys.modules, "conditions.wind", raising=False)
    assert "wind" in conditions.names()

    yaml = re.search(r"wind: \{strongest: ([0-9.]+)\}", GUIDE.read_text())
    assert yaml is not None
    both = ConditionSet({"camera": {}, "wind": {"strongest": float(yaml[1])}}, 16)
    monkeypatch.delitem(sys.modules, "conditions.wind")
    assert both.names == ["camera", "wind"]
    assert both.tokens_per_chunk(1) == 3
    prepared = both.prepare([{"wind": [3.0, 0.0]}, {"camera": [0.0, 1.0]}])
    tokens = both(prepared, 1)
    assert tokens.shape == (1, 2, 3, 16)
    assert torch.equal(tokens[0, 1, 1:], both["wind"].placeholder)
    with pytest.raises(ValueError, match="wind must lie within -30.0 to 30.0"):
        both.prepare([{"wind": [31.0, 0.0]}])

    values = np.random.default_rng(0).uniform(-30, 30, (3, 2)).astype(np.float32)
    with ClipWriter(tmp_path / "shard-000000.tar", both) as writer:
        writer.write(Clip("a", np.zeros((4, 16, 16, 3), np.uint8), {"wind": values}, {"fps": 20}))
    np.testing.assert_equal(ClipSet(tmp_path, both).columns(0)["wind"].values, values)


def test_another_packages_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert code is not None
    package = tmp_path / "gusty"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "wind.py").write_text(code[1].replace('@register("wind")', '@register("gust")'))
    info = tmp_path / "gusty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gusty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[worldmodel.conditions]\ngust = gusty.wind:Wind\nlost = gusty.wind:Wind\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "gust" in conditions.names() and "gusty.wind" not in sys.modules
    assert conditions.space("gust").shape == (2,)
    assert conditions.get("gust").__module__ == "gusty.wind"
    with pytest.raises(ValueError, match="no condition is called 'gus', did you mean 'gust'"):
        conditions.get("gus")
    for module in [name for name in sys.modules if name.split(".")[0] == "gusty"]:
        monkeypatch.delitem(sys.modules, module)


def test_conditions_import_nothing_above_them() -> None:
    allowed = {"torch", "numpy", "gymnasium", "conditions", *sys.stdlib_module_names}
    for path in Path(conditions.__path__[0]).glob("*.py"):
        imported = set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
        assert imported <= allowed, path
    assert importlib.util.find_spec("conditions.keyboard") is not None
