"""The lowest versions that pyproject.toml allows, as constraints."""

import tomllib
from pathlib import Path

import lowest
import pytest

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_every_dependency_has_a_lower_bound(capsys, monkeypatch):
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    monkeypatch.setattr("sys.argv", ["lowest.py", "--without", "torch"])
    lowest.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(project["dependencies"]) - 1
    for line in lines:
        name, version = line.split("==")
        assert f"{name}>={version}" in project["dependencies"]


def test_a_range_without_a_lower_bound_is_refused():
    assert lowest.lowest(["pkg[extra]>=1.2,<3"]) == {"pkg": "1.2"}
    with pytest.raises(ValueError, match="pkg<3: no lower bound"):
        lowest.lowest(["pkg<3"])
