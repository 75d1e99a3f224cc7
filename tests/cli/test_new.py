"""`sfnbench new`: what it writes works as it is."""

import importlib.util
import json

import pytest

from sfnbench import datasets


def test_a_new_optimizer_passes_its_check_and_stands_in_the_table(
    run, sfnbench, here
):
    run()
    code, out, _ = sfnbench("new", "optimizer", "my_method")
    assert code == 0
    assert "plugins/optimizers/my_method.py" in out
    assert sfnbench("check", "my_method") == (0, "optimizer my_method: ok\n", "")
    code, out, _ = run("-o", "my_method")
    assert code == 0
    rows = [line.split()[:2] for line in out.splitlines()[2:8]]
    assert rows == [
        [problem, optimizer]
        for problem in ("quadratic_saddle", "monkey_saddle")
        for optimizer in ("sfn", "gradient_descent", "my_method")
    ]
    # `new` never writes over a file that is there
    assert sfnbench("new", "optimizer", "my_method")[0] == 2


def test_a_new_problem_and_suite_work_as_they_are(sfnbench, here):
    assert sfnbench("new", "problem", "my_problem")[0] == 0
    assert sfnbench("check", "my_problem")[0] == 0
    assert sfnbench("new", "suite", "my_suite")[0] == 0
    code, out, _ = sfnbench("validate", "my_suite")
    assert code == 0
    assert "6 runs" in out


def test_a_new_dataset_is_listed_and_read(sfnbench, here):
    code, out, _ = sfnbench("new", "dataset", "bars")
    assert (code, out.split(":")[0]) == (0, "plugins/datasets/bars.py")
    _, out, _ = sfnbench("data", "list", "--format", "json")
    assert "bars" in {row["name"] for row in json.loads(out)}
    bars = datasets.load("bars", n_examples=20)
    for image, label in zip(bars.x, bars.y, strict=True):
        across, down = image.mean(0).std(), image.mean(1).std()
        assert (across < down) == label
    # `new` never writes over a file that is there
    assert sfnbench("new", "dataset", "bars")[0] == 2
    assert sfnbench("new", "dataset", "mnist")[0] == 2


@pytest.mark.parametrize("name", ["My-Method", "9lives", "../up", "sfn", ""])
def test_new_refuses_bad_names(sfnbench, name):
    code, _, err = sfnbench("new", "optimizer", name)
    assert code == 2
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "kind", ["optimizer", "problem", "problem_module", "finder", "metric"]
)
def test_a_template_is_a_member_that_keeps_the_contract(monkeypatch, kind):
    """The files that `sfnbench new` copies are Python files like any other: linted and checked."""
    from sfnbench.cli.new import TEMPLATES
    from sfnbench.members import contract, registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    path = TEMPLATES / f"{kind}.py"
    spec = importlib.util.spec_from_file_location(f"template_of_{kind}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cls = getattr(module, f"My{kind.partition('_')[0].capitalize()}")
    assert [why for why in contract.failures(cls).values() if why] == []
