"""One of each kind is added by a file, an experiment by a folder: nothing else is edited."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sfnbench

PACKAGE = Path(sfnbench.__file__).parent
TEMPLATES = PACKAGE / "cli" / "templates"
MEMBERS = ("optimizer", "problem", "finder", "metric")

FIGURE = '''
"""The losses at the end."""

from ....report.figure import Axis, Figure, Panel, Trace


def extract(result):
    return [row["final_loss"] for row in result.rows]


def figures(runs):
    traces = [Trace(range(len(y)), y, result.run.method.label) for result, y in runs]
    panel = Panel("added", "Added", Axis("seed"), Axis("final loss"), traces)
    yield Figure("added", "A figure that was added", [panel])
'''

ENGINE = '''
"""One run after another, and a line for each."""

from .inline import inline


def added(runs, conditions, on_progress=None):
    for result in inline(runs, conditions, on_progress):
        print(f"the engine that was added executed {result.run.title}")
        yield result
'''

EXPERIMENT = {
    "__init__.py": '"""Where each seed starts."""\n',
    "keys.py": '''
from typing import Annotated, Any

from annotated_types import MinLen

from ..keys import SeededKeys


class Keys(SeededKeys):
    """The keys of a suite."""

    power: int = 2
    optimizers: Annotated[tuple[Any, ...], MinLen(1)]
''',
    "execute.py": """
from ...records import Result, Status
from ..setup import Setup


def execute(run, progress):
    setup, power = Setup(run), run.settings["power"]
    starts = setup.starts(run.seeds)
    sizes = (starts.norm(dim=1) ** power).tolist()
    rows = [
        {"seed": seed, "status": "ok", "size": size}
        for seed, size in zip(run.seeds, sizes)
    ]
    return Result(run, Status.OK, tuple(rows), {}, {"problem": setup.facts})
""",
}

SUITES = {
    "racing": """
seeds: 2
budget: {steps: 3}
metrics: [loss, added]
problems: [added, {use: mlp, dataset: added, size: 4, n_examples: 6, hidden: [2]}]
optimizers: [added]
""",
    "searching": """
experiment: critical_points
problems: [added]
finders: [added]
random: 2
""",
    "starting": "experiment: added\nproblems: [added]\noptimizers: [added]\npower: 3\n",
}


def template(kind):
    return (TEMPLATES / f"{kind}.py").read_text().replace(f"my_{kind}", "added")


ADDED = {
    **{
        kind: {f"{kind}s/added.py": template(kind)}
        for kind in (*MEMBERS, "dataset")
    },
    "figure": {"experiments/race/figures/added.py": FIGURE},
    "engine": {"session/engines/added.py": ENGINE},
    "experiment": {f"experiments/added/{n}": t for n, t in EXPERIMENT.items()},
}


def places(kind):
    """The files that a kind adds; all of one folder's are one place."""
    if kind == "experiment":
        return {Path(name).parent for name in ADDED[kind]}
    return set(ADDED[kind])


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command line of a copy of the package to which one of each kind was added."""
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, root / "sfnbench", ignore=ignored)
    for files in ADDED.values():
        for name, text in files.items():
            path = root / "sfnbench" / name
            path.parent.mkdir(exist_ok=True)
            with path.open("x") as file:  # no file that was there is touched
                file.write(text)
    for name, text in SUITES.items():
        (root / f"{name}.yaml").write_text(text)

    def call(*words, python=("-m", "sfnbench")):
        done = subprocess.run(
            [sys.executable, *python, *words],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.mark.parametrize("kind", ADDED)
def test_one_place_is_touched(kind):
    assert len(places(kind)) == 1


def test_members_and_datasets_are_listed(command):
    listed = json.loads(command("list", "--format", "json"))
    for kind in (*MEMBERS, "dataset"):
        assert "added" in {row["name"] for row in listed[f"{kind}s"]}


def test_a_race_has_the_five_that_belong_to_it(command):
    """Problem, dataset, optimizer, metric and figure; and the engine executes it."""
    out = command("run", "racing.yaml", "--engine", "added")
    assert out.count("the engine that was added executed") == 2
    code = """
from sfnbench import Store
from sfnbench.report.sections import Section
section = Section("runs/racing", "racing", "race")
for result in Store("runs/racing").results():
    assert result.series["added"].shape == (2, 4), result.series["added"].shape
    section.add(result)
assert "A figure that was added" in {figure.title for figure in section.figures}
"""
    command(code, python=("-c",))


@pytest.mark.slow
def test_a_search_has_the_finder(command):
    out = command("run", "searching.yaml", "--engine", "inline", "--format", "csv")
    assert "added" in out.splitlines()[1].split(",")[:2]


@pytest.mark.slow
def test_an_experiment_runs_in_a_process_of_its_own(command):
    command("run", "starting.yaml")
    command("export", "runs/starting", "sizes.csv")
    code = "import csv; [print(row['size']) for row in csv.DictReader(open('sizes.csv'))]"
    sizes = [float(line) for line in command(code, python=("-c",)).split()]
    # the template starts at 1e-3: its cube
    assert sizes == pytest.approx([1e-9] * 5)
